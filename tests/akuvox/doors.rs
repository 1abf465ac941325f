//! Doors: listed, named, and opened at most once.

use latchkey::{
    account::{Class, Code, Secret, Target},
    demo::clouds::{Fault, FaultKind, Scope, What},
};

use super::bench::{Bench, NoToll};

const GATE: &str = "0C1105000001/0";

fn openings(bench: &Bench) -> u64 {
    bench.cloud.counters().door_openings.values().sum()
}

#[tokio::test]
async fn every_relay_is_a_door_whether_its_id_is_a_text_or_a_number() {
    let bench = Bench::new().await;
    for relay_ids_as_numbers in [false, true] {
        bench.cloud.turn_knobs(|it| it.relay_ids_as_numbers = relay_ids_as_numbers);
        let listed = bench.vendor().inventory(&bench.token(), &NoToll).await.unwrap();
        let doors: Vec<(&str, &str)> = listed.doors.iter().map(|it| (it.id.as_str(), it.name.as_str())).collect();
        assert_eq!(doors, [(GATE, "Gate"), ("0C1105000001/1", "Haustür"), ("0C1105000002/0", "Garage door")]);
        assert!(listed.scenes.is_empty());
    }
}

#[tokio::test]
async fn a_door_that_the_user_named_keeps_that_name_beside_what_the_cloud_lists() {
    let bench = Bench::new().await;
    let vendor = bench.vendor_with("[accounts.front_door.door_names]\ngarden_gate = \"0C1105000001/0\"\n");
    let named = Target { key: "garden_gate".into(), id: GATE.into(), name: "Garden gate".into() };
    assert_eq!(vendor.configured().doors, [named]);
    let listed = vendor.inventory(&bench.token(), &NoToll).await.unwrap();
    let keys: Vec<String> = vendor.configured().with_discovered(&listed).doors.into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["garden_gate", "0c1105000001_1", "0c1105000002_0"]);
}

#[tokio::test]
async fn a_door_is_opened_by_its_device_and_relay_and_once() {
    let bench = Bench::new().await;
    bench.vendor().open_door(&bench.token(), GATE).await.unwrap();
    assert_eq!((openings(&bench), bench.calls("opendoor"), bench.calls("login_conf")), (1, 1, 0));
    let asked = bench.cloud.log().into_iter().find_map(|it| it.action);
    assert_eq!(asked.as_deref(), Some("mac=0C1105000001&relay=0"));
}

#[tokio::test]
async fn a_door_that_does_not_exist_is_no_reason_to_doubt_the_token() {
    let bench = Bench::new().await;
    let refused = bench.vendor().open_door(&bench.token(), "0C1105FFFFFF/0").await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Target, Code::TargetRefused));
    assert_eq!((bench.calls("opendoor"), bench.calls("login_conf")), (1, 1));

    // Where the cloud does not say whether it takes the token, nobody claims that it does not.
    bench.cloud.inject(Fault::new(FaultKind::Http500).on(Scope::Call("login_conf".into()), 1));
    let refused = bench.vendor().open_door(&bench.token(), "0C1105FFFFFF/0").await.unwrap_err();
    assert_eq!(refused.class, Class::Target);

    let before = bench.n_calls();
    let refused = bench.vendor().open_door(&bench.token(), "gate").await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Target, Code::UnknownDoor));
    assert_eq!(bench.n_calls(), before, "what is no door is not asked for");
}

#[tokio::test]
async fn a_token_that_the_cloud_does_not_take_is_told_from_a_door_that_it_does_not_know() {
    let bench = Bench::new().await;
    let token = bench.token();
    bench.cloud.revoke(0, What::Access);
    let refused = bench.vendor().open_door(&token, GATE).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::AccessRejected, Code::AccessRejected));
    let refused = bench.vendor().inventory(&token, &NoToll).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::AccessRejected, Code::AccessRejected));
    assert_eq!(openings(&bench), 0);
}

#[tokio::test]
async fn a_door_whose_answer_was_lost_is_neither_opened_again_nor_called_refused() {
    for kind in [FaultKind::ReplyLostAfterRotation, FaultKind::TruncatedJson, FaultKind::CutBody] {
        let bench = Bench::new().await;
        bench.cloud.inject(Fault::new(kind).on(Scope::Action, 1));
        let unknown = bench.vendor().open_door(&bench.token(), GATE).await.unwrap_err();
        assert_eq!(unknown.class, Class::Ambiguous, "{kind:?}");
        assert_eq!((openings(&bench), bench.calls("opendoor"), bench.calls("login_conf")), (1, 1, 0), "{kind:?}");
    }
    for kind in [FaultKind::Http500, FaultKind::Html, FaultKind::Throttled200] {
        let bench = Bench::new().await;
        bench.cloud.inject(Fault::new(kind).on(Scope::Action, 1));
        let unknown = bench.vendor().open_door(&bench.token(), GATE).await.unwrap_err();
        assert!(!matches!(unknown.class, Class::Target | Class::AccessRejected), "{kind:?}: {unknown:?}");
        assert_eq!((openings(&bench), bench.calls("opendoor")), (0, 1), "{kind:?}");
    }
}

#[tokio::test]
async fn a_list_that_did_not_come_leaves_nothing_in_doubt() {
    for kind in [FaultKind::ResetBefore, FaultKind::Http500, FaultKind::Html] {
        let bench = Bench::new().await;
        bench.cloud.inject(Fault::new(kind).on(Scope::Call("userconf".into()), 1));
        let failed = bench.vendor().inventory(&bench.token(), &NoToll).await.unwrap_err();
        assert_eq!(failed.class, Class::Transient, "{kind:?}");
    }
}

#[tokio::test]
async fn a_token_that_a_url_cannot_hold_is_encoded() {
    let bench = Bench::new().await;
    let token = Secret::new("odd token+&=/?#%");
    let refused = bench.vendor().open_door(&token, GATE).await.unwrap_err();
    assert_eq!(refused.class, Class::AccessRejected);
    let outcomes: Vec<String> = bench.cloud.log().into_iter().map(|it| it.outcome).collect();
    assert!(outcomes.iter().all(|it| !it.contains("differ")), "{outcomes:?}");
}
