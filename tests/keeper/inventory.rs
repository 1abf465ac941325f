//! What an account can act on: listed when there is an occasion, kept over restarts, never in the way of a refresh.

use jiff::SignedDuration;
use latchkey::{
    account::{Class, Code, Condition, Inventory, Secret, Target},
    demo::clouds::What,
    keeper::ReplyData,
    vendor::VendorError,
};

use super::{
    bench::{Bench, DAY, FRONT, HOME, HOUR, MINUTE, code, id},
    premises::{Premises, doors, rejected, scenes, unreachable},
};

fn keys(targets: &[Target]) -> Vec<&str> {
    targets.iter().map(|it| it.key.as_str()).collect()
}

#[tokio::test]
async fn a_restart_asks_the_vendor_for_nothing_and_knows_the_doors_and_scenes() {
    let bench = Bench::new().await;
    let (street, home) = (Premises::new(&bench, doors()), Premises::new(&bench, scenes(0)));
    let first = street.settled(&bench, &[FRONT]).await;
    first.stop().await;
    let second = home.settled(&bench, &[HOME]).await;
    let known = second.inventory(HOME);
    assert_eq!(&keys(&known.scenes)[..2], ["tv_pin_entry", "tv_warning"], "what the user named comes first");
    assert!(scenes(0).scenes.iter().all(|it| known.scenes.iter().any(|known| known.id == it.id)));
    second.stop().await;
    let before = (bench.akuvox.counters().calls, bench.aqara.counters().calls);
    let house = home.start(&bench, &[FRONT, HOME]);
    assert_eq!((house.inventory(FRONT), house.inventory(HOME)), (doors(), known));
    // This would wait for a listing that is under way, and at the age of a day it asks for none itself.
    assert_eq!(code(&house.scene(HOME, "nothing").await), Some(Code::UnknownScene));
    house.stop().await;
    assert_eq!((street.n_listings(), home.n_listings()), (1, 1));
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), before);
}

#[tokio::test]
async fn a_vanished_scene_disappears_and_a_notice_is_sent() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, scenes(0));
    let mut house = premises.settled(&bench, &[HOME]).await;
    let fewer = Inventory { scenes: scenes(0).scenes[..2].to_vec(), doors: Vec::new() };
    premises.put_up(fewer);
    house.list_scenes(HOME).await.unwrap();
    house.until_inventory_told(HOME).await;
    assert_eq!(keys(&house.inventory(HOME).scenes), ["tv_pin_entry", "tv_warning"]);
    // The same again is no news.
    house.list_scenes(HOME).await.unwrap();
    // What the user named stays, even when the vendor, which answered properly, knows of nothing.
    premises.put_up(Inventory::default());
    house.list_scenes(HOME).await.unwrap();
    premises.put_up(scenes(0));
    house.list_scenes(HOME).await.unwrap();
    assert_eq!(house.n_inventory_notices(HOME), 1, "for the last list alone");
    house.stop().await;
}

#[tokio::test]
async fn a_list_of_scenes_is_what_the_user_named_and_what_the_vendor_has_just_listed() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, Inventory::default());
    let house = premises.settled(&bench, &[HOME, FRONT]).await;
    premises.put_up(scenes(0));
    let Ok(ReplyData::Scenes { entry_id, scenes: listed }) = house.list_scenes(HOME).await else { panic!() };
    assert_eq!((entry_id, &listed), (id(HOME), &house.inventory(HOME).scenes));
    assert_eq!(listed.len(), scenes(0).scenes.len());
    assert_eq!(code(&house.list_scenes(FRONT).await), Some(Code::NotSupported));
    house.stop().await;
}

#[tokio::test]
async fn a_rejected_access_token_is_renewed_once_and_the_list_is_asked_for_once_more() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, scenes(0));
    let house = premises.settled(&bench, &[HOME]).await;
    premises.fail_to_list([rejected()]);
    house.list_scenes(HOME).await.unwrap();
    assert_eq!((premises.n_listings(), bench.aqara.counters().refreshes), (3, 2));
    bench.hand.advance(DAY);
    premises.fail_to_list([rejected(), rejected()]);
    assert_eq!(code(&house.list_scenes(HOME).await), Some(Code::AccessRejected));
    assert_eq!((premises.n_listings(), bench.aqara.counters().refreshes), (5, 3));
    house.stop().await;
}

#[tokio::test]
async fn a_list_that_fails_loses_nothing_and_is_not_told_as_an_unknown_outcome() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, scenes(0));
    let house = premises.settled(&bench, &[HOME]).await;
    let known = house.inventory(HOME);
    for (failure, expected) in [
        (unreachable(), Code::Unreachable),
        (VendorError::new(Class::Ambiguous, Code::NoAnswer), Code::NoAnswer),
        (VendorError::new(Class::Ambiguous, Code::UnreadableAnswer), Code::VendorBusy),
        (VendorError::new(Class::Protocol, Code::UnreadableAnswer), Code::VendorBusy),
        (VendorError::new(Class::Throttled { retry_after: None }, Code::Throttled), Code::Throttled),
    ] {
        premises.fail_to_list([failure]);
        assert_eq!(code(&house.list_scenes(HOME).await), Some(expected));
        assert_eq!((house.inventory(HOME), house.status(HOME).condition), (known.clone(), Condition::Ok));
    }
    house.stop().await;
}

#[tokio::test]
async fn what_grew_old_is_listed_anew_after_a_refresh_and_what_is_young_is_not() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let mut house = premises.settled(&bench, &[FRONT]).await;
    house.refresh(FRONT).await.unwrap();
    bench.hand.advance(HOUR);
    assert_eq!(premises.n_listings(), 1, "it was a day old");
    let fewer = Inventory { doors: doors().doors[..1].to_vec(), scenes: Vec::new() };
    premises.put_up(fewer.clone());
    house.refresh(FRONT).await.unwrap();
    house.until_inventory_told(FRONT).await;
    assert_eq!((house.inventory(FRONT), premises.n_listings()), (fewer, 2));
    house.stop().await;
}

#[tokio::test]
async fn new_tokens_may_be_another_logins_so_its_doors_are_listed_at_once() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let mut house = premises.settled(&bench, &[FRONT]).await;
    premises.put_up(Inventory::default());
    bench.akuvox.sign_in(0);
    house.update(FRONT, bench.pair_of(FRONT)).await.unwrap();
    house.until_inventory_told(FRONT).await;
    assert_eq!(house.inventory(FRONT), Inventory::default());
    // An access token alone is adopted without a refresh.
    premises.put_up(doors());
    bench.akuvox.sign_in(0);
    let access = Secret::new(bench.akuvox.credentials(0).token);
    house.update(FRONT, latchkey::account::ProposedTokens::Access(access)).await.unwrap();
    house.until_inventory_told(FRONT).await;
    assert_eq!((house.inventory(FRONT), premises.n_listings()), (doors(), 3));
    house.stop().await;
}

#[tokio::test]
async fn a_listing_in_the_background_that_fails_waits_an_hour_at_least_and_as_long_as_the_vendor_asks() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    let patience = VendorError::new(Class::Throttled { retry_after: Some(12 * HOUR) }, Code::Throttled);
    premises.fail_to_list([unreachable(), rejected(), patience]);
    let mut house = premises.start(&bench, &[FRONT]);
    house.update(FRONT, bench.pair_of(FRONT)).await.unwrap();
    // As fast as time passes here, it may be late; it may not be early.
    while premises.n_listings() < 4 {
        bench.hand.advance(10 * MINUTE);
        tokio::task::yield_now().await;
    }
    let times = premises.listings();
    let gaps: Vec<SignedDuration> = times.windows(2).map(|it| it[1].duration_since(it[0])).collect();
    assert!(gaps.iter().all(|it| SignedDuration::from_hours(1) <= *it), "{gaps:?}");
    assert!(SignedDuration::from_hours(12) <= gaps[2], "{gaps:?}");
    // A rejection is no reason for a refresh where nobody waits.
    house.until_inventory_told(FRONT).await;
    assert!(times.len() == 4 && bench.akuvox.counters().refreshes <= 2);
    house.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_listing_that_was_put_off() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, doors());
    premises.unlisted(&bench, FRONT).await.stop().await;
}

#[tokio::test]
async fn a_listing_that_meets_a_dead_token_leaves_the_login_as_it_is() {
    let bench = Bench::new().await;
    let premises = Premises::new(&bench, scenes(0));
    let house = premises.settled(&bench, &[HOME]).await;
    let known = house.inventory(HOME);
    bench.aqara.revoke(0, What::Grant);
    premises.fail_to_list([rejected()]);
    assert_eq!(code(&house.list_scenes(HOME).await), Some(Code::SignedInElsewhere));
    assert_eq!(house.inventory(HOME), known);
    house.stop().await;
}
