//! Calls with a live access token: never done twice, never held up by another account.

use latchkey::{
    account::{Code, Condition},
    demo::clouds::{Fault, FaultKind, Scope, What, aqara::scenes},
    keeper::ReplyData,
};

use super::{
    bench::{Bench, CABIN, DAY, FRONT, HOME, MINUTE, code, id, in_time},
    premises::{Premises, scenes as listed},
};

const SCENE: &str = "tv_pin_entry";

fn runs(bench: &Bench) -> u64 {
    bench.aqara.counters().scene_runs.values().sum()
}

fn calls(bench: &Bench, intent: &str) -> u64 {
    bench.aqara.counters().calls_by_name.get(intent).copied().unwrap_or_default()
}

#[tokio::test]
async fn the_first_scene_after_a_start_fetches_an_access_token_and_the_next_ones_use_it() {
    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    let house = bench.start(&[HOME]);
    let before = bench.aqara.counters().refreshes;
    let reply = house.scene(HOME, SCENE).await;
    assert_eq!(reply, Ok(ReplyData::Triggered { entry_id: id(HOME), scene: SCENE.to_owned() }));
    house.scene(HOME, SCENE).await.unwrap();
    let by_id = &scenes(0)[1].id;
    house.scene(HOME, by_id).await.unwrap();
    assert_eq!((runs(&bench), bench.aqara.counters().refreshes), (3, before + 1));
    house.stop().await;
}

#[tokio::test]
async fn a_rejected_access_token_is_renewed_once_and_the_scene_runs_once() {
    for rejected in [108, 109, 804, 2004, 2005] {
        let bench = Bench::new().await;
        let house = bench.settled(&[HOME]).await;
        let fault = Fault { code: Some(rejected), ..Fault::new(FaultKind::VendorBusy) };
        bench.aqara.inject(fault.on(Scope::Action, 1));
        house.scene(HOME, SCENE).await.unwrap();
        assert_eq!((runs(&bench), bench.aqara.counters().refreshes), (1, 2), "{rejected}");
        assert_eq!(calls(&bench, "config.scene.run"), 2);
        house.stop().await;
    }
}

#[tokio::test]
async fn an_access_token_that_is_rejected_again_is_not_renewed_again() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    let fault = Fault { code: Some(108), ..Fault::new(FaultKind::VendorBusy) };
    bench.aqara.inject(fault.on(Scope::Action, 1000));
    assert_eq!(code(&house.scene(HOME, SCENE).await), Some(Code::AccessRejected));
    assert_eq!((calls(&bench, "config.scene.run"), bench.aqara.counters().refreshes), (2, 2));
    house.stop().await;
}

#[tokio::test]
async fn a_scene_whose_outcome_is_unknown_is_not_repeated_and_the_reply_says_so() {
    for kind in [FaultKind::ReplyLostAfterRotation, FaultKind::TruncatedJson, FaultKind::CutBody] {
        let bench = Bench::new().await;
        let house = bench.settled(&[HOME]).await;
        bench.aqara.inject(Fault::new(kind).on(Scope::Action, 1));
        let error = house.scene(HOME, SCENE).await.unwrap_err();
        assert_eq!(error.code, Code::OutcomeUnknown, "{kind:?}");
        assert_eq!((runs(&bench), calls(&bench, "config.scene.run")), (1, 1));
        assert_eq!(house.status(HOME).condition, Condition::Ok);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_scene_that_does_not_exist_is_told_before_or_by_the_vendor_and_akuvox_has_none() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, FRONT]).await;
    let before = bench.aqara.counters().calls;
    assert_eq!(code(&house.scene(HOME, "no_such_scene").await), Some(Code::UnknownScene));
    assert_eq!(code(&house.scene(FRONT, SCENE).await), Some(Code::NotSupported));
    assert_eq!(bench.aqara.counters().calls, before);
    assert_eq!(code(&house.scene(HOME, "AL.1").await), Some(Code::TargetRefused));
    house.stop().await;
}

#[tokio::test]
async fn a_scene_runs_by_the_name_that_the_vendor_listed_whether_or_not_the_user_named_it() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, listed(0));
    let house = premises.settled(&bench, &[HOME]).await;
    for scene in scenes(0) {
        house.scene(HOME, scene.name).await.unwrap();
        assert_eq!(bench.aqara.counters().scene_runs[&scene.id], 1, "{}", scene.name);
    }
    assert_eq!(premises.n_listings(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_scene_that_is_not_known_is_looked_for_once_and_one_that_is_known_is_not() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, listed(0));
    let house = premises.unlisted(&bench, HOME).await;
    house.scene(HOME, SCENE).await.unwrap();
    house.scene(HOME, &scenes(0)[2].id).await.unwrap();
    assert_eq!(premises.n_listings(), 1);
    house.scene(HOME, scenes(0)[2].name).await.unwrap();
    assert_eq!(code(&house.scene(HOME, "no_such_scene").await), Some(Code::UnknownScene));
    assert_eq!((premises.n_listings(), runs(&bench)), (2, 3));
    house.stop().await;
}

#[tokio::test]
async fn a_scene_is_not_delayed_by_another_account_whose_cloud_hangs() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, CABIN]).await;
    bench.aqara.inject(Fault::new(FaultKind::Hang).on(Scope::Refresh, 2));
    let before = bench.aqara.counters().calls;
    let mut stuck = house.submit_refresh(CABIN);
    in_time(bench.aqara.wait_for(|it| it.calls == before + 1)).await;
    house.scene(HOME, SCENE).await.unwrap();
    assert!(stuck.reply.try_recv().is_err());
    house.stop().await;
}

#[tokio::test]
async fn a_scene_that_needs_a_token_joins_the_refresh_that_is_under_way() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    bench.aqara.revoke(0, What::Access);
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.5));
    let before = bench.aqara.counters().calls;
    let ticket = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.calls == before + 1)).await;
    house.scene(HOME, SCENE).await.unwrap();
    in_time(ticket.reply).await.unwrap().unwrap();
    assert_eq!((runs(&bench), bench.aqara.counters().refreshes), (1, 2));
    house.stop().await;
}

#[tokio::test]
async fn scenes_that_cannot_get_a_token_do_not_hammer_the_vendor() {
    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    let house = bench.start(&[HOME]);
    bench.aqara.inject(Fault::new(FaultKind::Http500).on(Scope::Refresh, 1000));
    assert_eq!(code(&house.scene(HOME, SCENE).await), Some(Code::VendorBusy));
    let before = bench.aqara.counters().calls;
    for _ in 0..20 {
        assert_eq!(code(&house.scene(HOME, SCENE).await), Some(Code::TooSoon));
    }
    assert_eq!(bench.aqara.counters().calls, before);
    bench.aqara.clear_faults();
    bench.hand.advance(MINUTE);
    house.scene(HOME, SCENE).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_access_token_that_ended_is_renewed_before_it_is_used() {
    let bench = Bench::new().await;
    bench.settled(&[HOME]).await.stop().await;
    bench.hand.advance(8 * DAY);
    let house = bench.start(&[HOME]);
    house.scene(HOME, SCENE).await.unwrap();
    assert_eq!((runs(&bench), calls(&bench, "config.scene.run"), bench.aqara.counters().refreshes), (1, 1, 2));
    house.stop().await;
}
