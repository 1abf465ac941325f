//! One case from its first leg to its last.

use std::time::Duration;

use latchkey::{
    account::{Code, Condition, Credential, ProposedTokens, Secret},
    demo::clouds::{Fault, FaultKind, What},
    keeper::{Command, CommandError, Reply},
};

use crate::{
    case::{Case, Leg},
    side::Side,
    world::World,
};

/// Between two legs: nothing of the one before is too soon any more.
const BETWEEN_LEGS: Duration = Duration::from_secs(2 * 3600);
/// Codes do not live longer.
const LONGEST_CODE: Duration = Duration::from_secs(20 * 60);

/// Goes through a case, and tells what was not as it should be.
pub(crate) async fn travel<S: Side>(case: &Case) -> Vec<String> {
    let mut world = World::<S>::new(case).await;
    let mut faults = Vec::new();
    for leg in S::LEGS.iter().copied().filter(|it| case.goes_through(*it)) {
        let mut complain = |what: String| faults.push(format!("{case}: {leg:?}: {what}"));
        let n_acts = S::n_acts(&world.cloud.counters());
        let reply = go(&mut world, leg).await;
        let seen = world.settle(&reply).await;
        if let Err(why) = case.verdict(leg, seen, S::UNKNOWN_TARGET) {
            complain(why);
        }
        let acted = S::n_acts(&world.cloud.counters()) - n_acts;
        if let Err(why) = check_acts(leg, &reply, acted) {
            complain(why);
        }
        if let Err(why) = world.audit() {
            complain(why);
        }
        if !case.goes_on_after(leg) {
            break;
        }
        if seen.condition != Condition::Ok
            && let Err(why) = world.mend(leg).await
        {
            complain(why);
            break;
        }
        if leg == Leg::List {
            world.turn_late_ones(case);
        }
        world.live(between(leg)).await;
    }
    world.stop().await;
    faults
}

async fn go<S: Side>(world: &mut World<S>, leg: Leg) -> Reply {
    let id = world.id.clone();
    let login = |credential| Command::Login { entry_id: world.id.clone(), credential };
    match leg {
        Leg::First => world.give_pair().await,
        Leg::List => world.ask(Command::ListScenes { entry_id: id }).await,
        Leg::Call => world.ask(S::act(id, true)).await,
        Leg::Rejected => {
            world.cloud.revoke(0, What::Access);
            world.ask(S::act(id, true)).await
        }
        Leg::UnknownTarget => world.ask(S::act(id, false)).await,
        Leg::Aged => {
            let mut life = 0;
            world.cloud.turn_knobs(|it| life = S::token_lifetime_seconds(it));
            world.sleep(Duration::from_secs(life + 1));
            match world.refresh().await {
                // On a busy machine the schedule is sometimes done by then.
                Err(CommandError { code: Code::TooSoon, .. }) => {
                    world.sleep(BETWEEN_LEGS);
                    world.refresh().await
                }
                reply => reply,
            }
        }
        Leg::Lost => {
            world.cloud.inject(Fault::new(FaultKind::ReplyLostAfterRotation));
            world.refresh().await
        }
        Leg::WrongCode => {
            world.ask(Command::RequestLoginCode { entry_id: id }).await?;
            world.ask(login(Credential::Code(Secret::new("000000")))).await
        }
        Leg::Code | Leg::EndedCode => {
            let code = world.cloud.newest_code(0).unwrap_or_default();
            world.ask(login(Credential::Code(Secret::new(code)))).await
        }
        Leg::WrongPassword => {
            let password = Secret::new("not-the-password");
            world.ask(login(Credential::Password { password, keep: false })).await
        }
        Leg::Password => {
            let password = S::password(&world.cloud.credentials(0)).unwrap();
            world.ask(login(Credential::Password { password, keep: false })).await
        }
        Leg::CheckIn => {
            let held = world.cloud.sign_in(0);
            let (access, auth_token) = (Secret::new(S::pair(&held).0), S::AUTH_TOKEN.map(|of| of(&held)));
            world.give(ProposedTokens::Access(access), auth_token).await
        }
    }
}

/// What was answered with a yes was done once; with a no, not at all.
fn check_acts(leg: Leg, reply: &Reply, acted: u64) -> Result<(), String> {
    let is_act = matches!(leg, Leg::Call | Leg::Rejected | Leg::UnknownTarget);
    let is_unknown = matches!(reply, Err(error) if error.code == Code::OutcomeUnknown);
    let wanted = u64::from(is_act && reply.is_ok());
    let is_right = acted == wanted || (is_unknown && acted <= 1);
    if is_right { Ok(()) } else { Err(format!("the house was acted on {acted} times, and the reply says {wanted}")) }
}

/// What is listed belongs to the first refresh, a wrong code leaves the right one good for a while, and the right one is
/// given again when it has ended.
fn between(leg: Leg) -> Duration {
    match leg {
        Leg::First | Leg::WrongCode => Duration::ZERO,
        Leg::Code => LONGEST_CODE,
        _ => BETWEEN_LEGS,
    }
}
