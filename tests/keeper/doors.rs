//! Doors: opened at most once for a command.

use latchkey::{
    account::{Class, Code, Condition},
    keeper::ReplyData,
    vendor::VendorError,
};

use super::{
    bench::{Bench, FRONT, HOME, MINUTE, SIDE, code, id},
    premises::{Premises, doors, rejected, unreachable},
};

const GATE: &str = "0C1105AABBCC/0";

#[tokio::test]
async fn a_door_is_opened_by_its_key_by_its_id_and_by_a_name_that_only_one_has() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.settled(&bench, &[FRONT]).await;
    for door in ["0c1105aabbcc_0", GATE, "Gate", " Gate "] {
        let opened = ReplyData::Opened { entry_id: id(FRONT), door: door.to_owned() };
        assert_eq!(house.open(FRONT, door).await, Ok(opened));
    }
    assert_eq!(code(&house.open(FRONT, "Garage").await), Some(Code::UnknownDoor), "two have this name");
    let opened: Vec<String> = premises.openings().into_iter().map(|it| it.0).collect();
    assert_eq!((opened, premises.n_listings()), (vec![GATE.to_owned(); 4], 1));
    house.stop().await;
}

#[tokio::test]
async fn a_door_is_opened_at_most_once_when_the_reply_is_lost_and_the_reply_says_so() {
    for word in [Code::NoAnswer, Code::VendorBusy, Code::UnreadableAnswer] {
        let bench = Bench::new().await;
        let premises = Premises::new(&bench, doors());
        let house = premises.settled(&bench, &[FRONT]).await;
        premises.fail_to_open([VendorError::new(Class::Ambiguous, word)]);
        assert_eq!(code(&house.open(FRONT, GATE).await), Some(Code::OutcomeUnknown), "{word:?}");
        assert_eq!((premises.openings().len(), bench.akuvox.counters().refreshes), (1, 1), "{word:?}");
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_door_is_not_tried_again_when_it_is_refused_or_out_of_reach() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.settled(&bench, &[FRONT]).await;
    premises.fail_to_open([unreachable(), VendorError::new(Class::Target, Code::TargetRefused)]);
    assert_eq!(code(&house.open(FRONT, GATE).await), Some(Code::Unreachable));
    assert!(!house.status(FRONT).cloud);
    assert_eq!(code(&house.open(FRONT, GATE).await), Some(Code::TargetRefused));
    assert!(house.status(FRONT).cloud);
    assert_eq!((premises.openings().len(), bench.akuvox.counters().refreshes), (2, 1));
    house.stop().await;
}

#[tokio::test]
async fn a_rejected_access_token_is_renewed_once_and_the_door_opens_once() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.settled(&bench, &[FRONT]).await;
    premises.fail_to_open([rejected()]);
    house.open(FRONT, GATE).await.unwrap();
    let tried = premises.openings();
    assert_eq!((tried.len(), bench.akuvox.counters().refreshes), (2, 2));
    assert!(tried[0].1 != tried[1].1, "the second try has the new access token");
    house.stop().await;
}

#[tokio::test]
async fn an_access_token_that_is_rejected_again_ends_it() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.settled(&bench, &[FRONT]).await;
    premises.fail_to_open([rejected(), rejected()]);
    assert_eq!(code(&house.open(FRONT, GATE).await), Some(Code::AccessRejected));
    assert_eq!((premises.openings().len(), bench.akuvox.counters().refreshes), (2, 2));
    house.stop().await;
}

#[tokio::test]
async fn a_door_that_nobody_knows_is_looked_for_once_and_never_quoted() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.unlisted(&bench, FRONT).await;
    assert_eq!(house.inventory(FRONT).doors, []);
    premises.fail_to_list([unreachable()]);
    assert_eq!(code(&house.open(FRONT, "Gate").await), Some(Code::Unreachable));
    house.open(FRONT, "Gate").await.unwrap();
    assert_eq!((premises.n_listings(), premises.openings().len()), (3, 1));
    for _ in 0..3 {
        let error = house.open(FRONT, "R1-secret").await.unwrap_err();
        assert_eq!(error.code, Code::UnknownDoor);
        assert!(!format!("{} {}", error.message, error.hint).contains("R1-secret"));
    }
    assert_eq!((premises.n_listings(), premises.openings().len()), (3, 1));
    house.stop().await;
}

#[tokio::test]
async fn many_who_look_for_a_door_at_once_ask_the_vendor_once() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.unlisted(&bench, FRONT).await;
    let (first, second, third) =
        tokio::join!(house.open(FRONT, "Gate"), house.open(FRONT, "Gate"), house.open(FRONT, "Nowhere"));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(code(&third), Some(Code::UnknownDoor));
    assert_eq!(premises.n_listings(), 2);
    house.stop().await;
}

#[tokio::test]
async fn doors_that_are_not_wanted_are_neither_listed_nor_opened_and_aqara_has_none() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let house = premises.start(&bench, &[SIDE, HOME]);
    house.update(SIDE, bench.pair_of(SIDE)).await.unwrap();
    bench.hand.advance(MINUTE);
    assert_eq!(code(&house.open(SIDE, GATE).await), Some(Code::DoorsOff));
    assert_eq!(code(&house.open(HOME, GATE).await), Some(Code::NotSupported));
    assert_eq!((house.inventory(SIDE).doors, premises.n_listings(), premises.openings()), (vec![], 0, vec![]));
    house.stop().await;
}
