//! Every switch of the simulated Aqara cloud. What is expected follows from protocol/aqara.md; the paragraph is named where
//! it is not plain.

use latchkey::{
    account::{AccountId, Code, Condition, Secret},
    demo::clouds::{
        Cloud, Counters,
        aqara::{Aqara, AqaraCredentials, AqaraKnobs},
    },
    keeper::Command,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, DEAD_BY_LOSS, FINE, Leg, Place, Seen, dead},
    side::Side,
};

impl Side for Aqara {
    const LEGS: &'static [Leg] = &[
        Leg::First,
        Leg::List,
        Leg::Call,
        Leg::Rejected,
        Leg::UnknownTarget,
        Leg::Aged,
        Leg::Lost,
        Leg::WrongCode,
        Leg::Code,
        Leg::EndedCode,
    ];
    const KEEPS_ACCESS: bool = false;
    const UNKNOWN_TARGET: Code = Code::TargetRefused;
    const AUTH_TOKEN: Option<fn(&AqaraCredentials) -> Secret> = None;

    fn cases() -> Vec<Case> {
        [tokens(), refusals(), gateway(), limits(), logins()].into_iter().flatten().collect()
    }

    fn choices() -> Vec<(&'static str, Vec<Value>)> {
        vec![
            ("access_refusal", vec![json!("gateway"), json!("oauth")]),
            ("detail_key", vec![json!("messageDetail"), json!("msgDetails"), json!("both")]),
        ]
    }

    fn account_lines(cloud: &Cloud<Self>, place: Place) -> String {
        let (held, other) = (cloud.credentials(0), cloud.credentials(1));
        let key_id = match place {
            Place::Right | Place::OtherRegion => held.key_id,
            Place::UnknownKey => "K.0".to_owned(),
            Place::OthersKey => other.key_id,
        };
        format!(
            "vendor = \"aqara\"\nbase_url = {:?}\napp_id = {:?}\nkey_id = {key_id:?}\napp_key = {:?}\nlogin = {:?}\n\
             [accounts.home.scenes]\ntv_pin_entry = {:?}\n",
            cloud.url(),
            held.app_id,
            held.app_key,
            held.account,
            held.scenes["TV PIN entry"],
        )
    }

    fn pair(credentials: &AqaraCredentials) -> (String, String) {
        (credentials.access_token.clone(), credentials.refresh_token.clone())
    }

    fn password(_credentials: &AqaraCredentials) -> Option<Secret> {
        None
    }

    fn act(account: AccountId, is_known: bool) -> Command {
        let scene = if is_known { "tv_pin_entry" } else { "AL.1" };
        Command::TriggerScene { entry_id: account, scene: scene.to_owned() }
    }

    fn n_acts(counters: &Counters) -> u64 {
        counters.scene_runs.values().sum()
    }

    fn token_lifetime_seconds(knobs: &AqaraKnobs) -> u64 {
        knobs.token_lifetime_seconds
    }
}

/// How long tokens live, and what ends them.
fn tokens() -> Vec<Case> {
    let mut cases = vec![
        // It ended with the access token, while Latchkey slept.
        Case::new("refresh_outlives_access_seconds", 0)
            .expect(Leg::Aged, dead(Code::RefreshTokenExpired, Code::RefreshTokenExpired)),
        Case::new("refresh_outlives_access_seconds", 30 * 86_400),
        Case::new("refresh_grace_seconds", 0),
        // The prompt second try gets the same successor.
        Case::new("refresh_grace_seconds", 60).expect(Leg::Lost, FINE),
        Case::new("refresh_keeps_validity", false).beside("console_token_lifetime_seconds", 86_400),
    ];
    cases.extend(Case::each("token_lifetime_seconds", [json!(604_800), json!(86_400), json!(3600)]));
    cases.extend(Case::each("console_token_lifetime_seconds", [json!(null), json!(86_400)]));
    cases.extend(Case::each("access_grace_seconds", [json!(0), json!(60)]));
    for knob in ["refresh_keeps_validity", "replay_revokes_family", "login_ends_the_one_before", "expires_in_as_number"]
    {
        cases.extend(either(knob));
    }
    cases
}

/// Which number stands for what (§7).
fn refusals() -> Vec<Case> {
    let lost_by = |code: Value, seen| Case::new("refresh_refusal_code", code).expect(Leg::Lost, seen);
    // What these mean for a refresh is not documented: they count only when they have lasted for a day.
    let not_at_once = dead(Code::RefreshRefused, Code::ReplyLost);
    let fault = |reply, last_error| Seen { reply, condition: Condition::ConfigFault, last_error };
    let wrong_app = |knob, code: i64, place| {
        // The tokens are kept, and wait for the right keys.
        let seen = fault(None, Some(Code::ConfigFault));
        Case::new(knob, code).at(place).expect(Leg::First, seen).until(Leg::First)
    };
    let mut cases = vec![
        lost_by(json!(null), DEAD_BY_LOSS),
        lost_by(json!(2006), DEAD_BY_LOSS),
        lost_by(json!(2007), DEAD_BY_LOSS),
        lost_by(json!(108), not_at_once),
        lost_by(json!(804), not_at_once),
        lost_by(json!(2004), not_at_once),
        // A code that nobody knows is never taken for a token's death.
        lost_by(
            json!(31_337),
            Seen {
                reply: Some(Code::RefreshRefused),
                condition: Condition::InDoubt,
                last_error: Some(Code::RefreshRefused),
            },
        ),
        // The seed's word for a dead token is a wrong signature: it says so, keeps all, and asks for a look (§7).
        lost_by(json!(106), fault(Some(Code::ConfigFault), Some(Code::ConfigFault))),
        wrong_app("wrong_app_code", 107, Place::UnknownKey),
        wrong_app("wrong_app_code", 2002, Place::UnknownKey),
        wrong_app("wrong_pair_code", 2002, Place::OthersKey).beside("apps_per_region", 2),
        wrong_app("wrong_pair_code", 107, Place::OthersKey).beside("apps_per_region", 2),
    ];
    cases.extend(Case::each("unknown_scene_code", [json!(1202), json!(716)]));
    cases.extend(every("access_refusal"));
    cases.extend(every("detail_key"));
    cases
}

/// What the gateway looks at.
fn gateway() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(Case::each("apps_per_region", [json!(1), json!(2)]));
    cases.extend(Case::each("time_window_seconds", [json!(300), json!(null), json!(0)]));
    cases.extend(Case::each("clock_ahead_seconds", [json!(0), json!(120), json!(-120), json!(3600), json!(-3600)]));
    cases.extend(either("reject_replayed_nonce"));
    cases.extend(either("auth_intents_reject_stale_token"));
    cases.extend(either("empty_position_lists_all"));
    cases
}

/// How much may be called (§6). Limits that are lower than anybody saw are found out by running into them.
fn limits() -> Vec<Case> {
    let throttled = Seen { reply: Some(Code::Throttled), condition: Condition::Ok, last_error: None };
    // A call that is rejected uses up the window, so that its refresh has no room, and so on with the same token; nor has
    // the second try of a lost reply. All of it within a day, so that nothing is listed anew.
    let one_call = |knob, position: Value| {
        let no_room = Seen { last_error: Some(Code::Throttled), ..throttled };
        Case::new(knob, position)
            .beside("token_lifetime_seconds", 12 * 3600)
            .later("rate_limit_calls", 1)
            .expect(Leg::Rejected, no_room)
            .expect(Leg::UnknownTarget, no_room)
            .expect(Leg::Lost, Seen { reply: Some(Code::Throttled), ..DEAD_BY_LOSS })
            .until(Leg::Lost)
    };
    // Nothing more can be called, and the access token ends.
    let used_up = |knob| {
        let ended =
            Seen { reply: Some(Code::Throttled), condition: Condition::Expired, last_error: Some(Code::Throttled) };
        let case = Case::new(knob, 1).later(knob, 1).expect(Leg::Call, throttled).expect(Leg::Rejected, throttled);
        case.expect(Leg::UnknownTarget, throttled).expect(Leg::Aged, ended).until(Leg::Aged)
    };
    let mut cases = vec![
        one_call("rate_limit_calls", json!(1)),
        one_call("rate_limit_status", json!(200)),
        one_call("rate_limit_status", json!(429)),
        one_call("rate_limit_retry_after", json!(null)),
        one_call("rate_limit_retry_after", json!(600)),
        used_up("monthly_quota"),
        used_up("total_quota"),
    ];
    cases.extend(Case::each("rate_limit_calls", [json!(300), json!(null)]));
    cases.extend(Case::each("rate_limit_window_seconds", [json!(300), json!(3600)]));
    cases.extend(Case::each("monthly_quota", [json!(100_000), json!(null)]));
    cases.extend(Case::each("total_quota", [json!(2_000_000), json!(null)]));
    cases
}

/// Signing in.
fn logins() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(Case::each("wrong_auth_code_code", [json!(811), json!(2003), json!(816)]));
    cases.extend(Case::each("ended_auth_code_code", [json!(null), json!(820)]));
    cases.extend(Case::each("auth_code_interval_seconds", [json!(60), json!(0)]));
    cases.extend(either("auth_code_in_reply"));
    cases
}

fn either(knob: &'static str) -> impl Iterator<Item = Case> {
    Case::each(knob, [json!(false), json!(true)])
}

fn every(knob: &'static str) -> Vec<Case> {
    let choices = Aqara::choices().into_iter().find(|it| it.0 == knob).unwrap().1;
    choices.into_iter().map(|it| Case::new(knob, it)).collect()
}
