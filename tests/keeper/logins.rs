//! Signing in by a code, by a password, and with a password that is kept.

use std::time::Duration;

use jiff::SignedDuration;
use latchkey::{
    account::{Code, Condition, Credential, EventType, Secret, Status, UpdateOutcome},
    demo::clouds::{Fault, FaultKind, PhoneAct, Scope, What, akuvox::AkuvoxKnobs, aqara::AqaraKnobs},
    keeper::{Reply, ReplyData},
};

use crate::bench::{Bench, DAY, FRONT, HOUR, House, MINUTE, code, outcome, proposal};

fn by_code(code: &str) -> Credential {
    Credential::Code(Secret::new(code))
}

fn by_password(password: &str, keep: bool) -> Credential {
    Credential::Password { password: Secret::new(password), keep }
}

fn is_whole_login(reply: &Reply) -> bool {
    matches!(reply, Ok(ReplyData::LoggedIn { has_refresh_token: true, .. }))
}

/// Asks for a code and signs in with the one that arrives.
async fn sign_in(bench: &Bench, house: &House) -> Reply {
    house.request_code(FRONT).await.unwrap();
    house.login(FRONT, by_code(&bench.akuvox.newest_code(0).unwrap())).await
}

fn lost(on: &str) -> Fault {
    Fault::new(FaultKind::ReplyLostAfterRotation).on(Scope::Call(on.to_owned()), 1)
}

#[tokio::test]
async fn a_code_signs_an_account_in_that_had_no_tokens() {
    let bench = Bench::new().await;
    let mut house = bench.start(&[FRONT]);
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    house.request_code(FRONT).await.unwrap();
    house.event(FRONT, EventType::CodeRequested).await;
    let reply = house.login(FRONT, by_code(&bench.akuvox.newest_code(0).unwrap())).await;
    assert!(is_whole_login(&reply), "{reply:?}");
    house.event(FRONT, EventType::LoggedIn).await;
    let status = house.status(FRONT);
    assert_eq!((status.condition, status.problem), (Condition::Ok, false));
    bench.hand.advance(HOUR);
    assert!(house.refresh(FRONT).await.is_ok(), "the refresh token of the login works");
    house.stop().await;
}

#[tokio::test]
async fn a_wrong_code_changes_nothing() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let before = house.status(FRONT);
    house.request_code(FRONT).await.unwrap();
    let error = house.login(FRONT, by_code("000000")).await.unwrap_err();
    assert_eq!(error.code, Code::WrongCode);
    assert_eq!(house.status(FRONT), Status { ..before });
    assert!(house.refresh(FRONT).await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn codes_are_asked_for_once_a_minute_and_five_times_a_day_over_restarts() {
    let bench = Bench::new().await;
    let mut house = bench.start(&[FRONT]);
    for n in 0..5 {
        house.request_code(FRONT).await.unwrap();
        if n == 2 {
            house.stop().await;
            house = bench.start(&[FRONT]);
        }
        let error = house.request_code(FRONT).await.unwrap_err();
        assert_eq!(error.code, Code::TooSoon);
        assert!(error.retry_after.is_some());
        bench.hand.advance(MINUTE + Duration::from_secs(1));
    }
    let error = house.request_code(FRONT).await.unwrap_err();
    assert!(error.retry_after.is_some_and(|it| 23 * 3600 < it), "{error:?}");
    assert_eq!(bench.akuvox.counters().calls_by_name["send_mobile_checkcode"], 5);
    bench.hand.advance(DAY);
    house.request_code(FRONT).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn the_same_login_delivered_again_gets_the_same_reply_and_asks_the_vendor_once() {
    let bench = Bench::new().await;
    let house = bench.start(&[FRONT]);
    let first = sign_in(&bench, &house).await;
    let again = house.login(FRONT, by_code(&bench.akuvox.newest_code(0).unwrap())).await;
    assert_eq!(first, again);
    assert_eq!(bench.akuvox.counters().calls_by_name["sms_login"], 1);
    house.stop().await;
}

#[tokio::test]
async fn a_login_waits_for_the_refresh_that_runs_and_its_tokens_win() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    house.request_code(FRONT).await.unwrap();
    let refresh = house.submit_refresh(FRONT);
    let reply = house.login(FRONT, by_code(&bench.akuvox.newest_code(0).unwrap())).await;
    assert!(is_whole_login(&reply), "{reply:?}");
    refresh.reply.await.unwrap().unwrap();
    bench.hand.advance(HOUR);
    assert!(house.refresh(FRONT).await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn a_login_whose_reply_is_lost_is_told_as_such_and_what_was_held_is_tried() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    house.request_code(FRONT).await.unwrap();
    bench.akuvox.inject(lost("sms_login"));
    let error = house.login(FRONT, by_code(&bench.akuvox.newest_code(0).unwrap())).await.unwrap_err();
    assert_eq!(error.code, Code::OutcomeUnknown);
    // The cloud did sign it in, and so ended the session that is held.
    bench.hand.advance(2 * MINUTE);
    let status = bench.wait_out(&mut house, FRONT, |it| it.condition == Condition::ReauthRequired).await;
    assert_eq!(status.last_error, Some(Code::ReplyLost));
    bench.hand.advance(HOUR);
    assert!(is_whole_login(&sign_in(&bench, &house).await));
    assert_eq!(house.status(FRONT).condition, Condition::Ok);
    house.stop().await;
}

#[tokio::test]
async fn a_login_that_never_reached_the_vendor_leaves_what_was_held() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    house.request_code(FRONT).await.unwrap();
    bench.akuvox.inject(Fault::new(FaultKind::ResetBefore).on(Scope::Call("sms_login".to_owned()), 1));
    let error = house.login(FRONT, by_code(&bench.akuvox.newest_code(0).unwrap())).await.unwrap_err();
    assert_eq!(error.code, Code::OutcomeUnknown, "a reset connection does not tell how far the request came");
    bench.hand.advance(2 * MINUTE);
    let mut house = house;
    bench.wait_out(&mut house, FRONT, |it| it.condition == Condition::Ok).await;
    house.stop().await;
}

#[tokio::test]
async fn a_login_that_was_open_when_latchkey_was_killed_is_looked_into_at_the_next_start() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    house.request_code(FRONT).await.unwrap();
    bench.akuvox.inject(Fault::new(FaultKind::Hang).on(Scope::Call("sms_login".to_owned()), 1));
    let newest = bench.akuvox.newest_code(0).unwrap();
    let arrived = async {
        while !bench.akuvox.counters().calls_by_name.contains_key("sms_login") {
            tokio::task::yield_now().await;
        }
        bench.copy_store("killed")
    };
    let (_, killed) =
        crate::bench::in_time(async { tokio::join!(house.login(FRONT, by_code(&newest)), arrived) }).await;
    house.stop().await;
    let mut house = bench.start_on(bench.open_at(&killed).1, &[FRONT], |_, vendor| vendor);
    // The cloud had done nothing: the pair that is held works.
    house.event(FRONT, EventType::Refreshed).await;
    assert_eq!(house.status(FRONT).condition, Condition::Ok);
    house.stop().await;
}

#[tokio::test]
async fn a_login_without_a_refresh_token_takes_one_from_servers_list() {
    for (gives, is_whole) in [("new_pair", true), ("none", false)] {
        let bench = Bench::with(
            AkuvoxKnobs {
                logins_bring_refresh_token: false,
                servers_list_tokens: serde_json::from_value(gives.into()).unwrap(),
                ..AkuvoxKnobs::default()
            },
            AqaraKnobs::default(),
        )
        .await;
        let house = bench.start(&[FRONT]);
        let reply = sign_in(&bench, &house).await;
        assert!(
            matches!(&reply, Ok(ReplyData::LoggedIn { has_refresh_token, .. }) if *has_refresh_token == is_whole),
            "{gives}: {reply:?}"
        );
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        house.stop().await;
    }
}

#[tokio::test]
async fn a_family_member_signs_in_by_password() {
    let bench = Bench::new().await;
    let house = bench.start(&[FRONT]);
    assert_eq!(code(&house.login(FRONT, by_password("wrong", false)).await), Some(Code::LoginRefused));
    let reply = house.login(FRONT, by_password(&bench.akuvox.credentials(0).password, false)).await;
    assert!(is_whole_login(&reply), "{reply:?}");
    house.stop().await;
}

#[tokio::test]
async fn with_a_kept_password_latchkey_signs_in_by_itself_once_a_day_at_most() {
    let bench = Bench::new().await;
    let mut house = bench.start(&[FRONT]);
    house.login(FRONT, by_password(&bench.akuvox.credentials(0).password, true)).await.unwrap();
    house.event(FRONT, EventType::LoggedIn).await;
    for _ in 0..2 {
        bench.hand.advance(2 * DAY);
        bench.akuvox.revoke(0, What::Grant);
        assert_eq!(code(&house.refresh(FRONT).await), Some(Code::SignedInElsewhere));
        bench.hand.advance(2 * MINUTE);
        house.event(FRONT, EventType::LoggedIn).await;
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        // Again on the same day: it waits.
        bench.hand.advance(HOUR);
        bench.akuvox.revoke(0, What::Grant);
        assert_eq!(code(&house.refresh(FRONT).await), Some(Code::SignedInElsewhere));
        let logins = bench.akuvox.counters().calls_by_name["login"];
        bench.hand.advance(HOUR);
        assert_eq!(house.status(FRONT).condition, Condition::ReauthRequired);
        bench.hand.advance(DAY);
        house.event(FRONT, EventType::LoggedIn).await;
        assert_eq!(bench.akuvox.counters().calls_by_name["login"], logins + 1);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_kept_password_that_the_vendor_refuses_is_not_tried_again() {
    let bench = Bench::new().await;
    let mut house = bench.start(&[FRONT]);
    house.login(FRONT, by_password(&bench.akuvox.credentials(0).password, true)).await.unwrap();
    bench.hand.advance(2 * DAY);
    let refused = Fault { code: Some(-1), ..Fault::new(FaultKind::VendorBusy) };
    bench.akuvox.inject(refused.on(Scope::Call("login".to_owned()), 100));
    bench.akuvox.revoke(0, What::Grant);
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::SignedInElsewhere));
    let logins = || bench.akuvox.counters().calls_by_name["login"];
    bench.hand.advance(2 * MINUTE);
    assert_eq!(house.event(FRONT, EventType::RefreshFailed).await.error, Some(Code::LoginRefused));
    for _ in 0..4 {
        bench.hand.advance(DAY + HOUR);
        house.event(FRONT, EventType::RefreshFailed).await;
    }
    assert_eq!(logins(), 2);
    house.stop().await;
}

#[tokio::test]
async fn an_access_token_that_is_given_alone_is_shown_to_the_vendor() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    let before = house.status(FRONT);
    let access = |text: &str| latchkey::account::ProposedTokens::Access(Secret::new(text));
    let error = house.propose(FRONT, proposal(access("nobody-has-this-token"))).await.unwrap_err();
    assert_eq!(error.code, Code::AccessRejected);
    assert!(error.message.contains("the tokens before them are kept"), "{error}");
    assert_eq!(house.status(FRONT).condition, before.condition);
    let held = bench.akuvox.credentials(0).token;
    let reply = house.propose(FRONT, proposal(access(&held))).await;
    assert!(matches!(outcome(&reply), Some(UpdateOutcome::Proved | UpdateOutcome::Unchanged)), "{reply:?}");
    assert!(house.refresh(FRONT).await.is_ok(), "the pair still works");
    house.stop().await;
}

#[tokio::test]
async fn an_app_token_alone_is_a_login_until_it_ends() {
    let bench = Bench::new().await;
    let mut house = bench.start(&[FRONT]);
    let held = bench.akuvox.credentials(0);
    let tokens = latchkey::account::ProposedTokens::Access(Secret::new(held.token.as_str()));
    let auth_token = Some(Secret::new(held.auth_token.as_str()));
    let reply = house.propose(FRONT, latchkey::account::Proposal { auth_token, ..proposal(tokens) }).await;
    assert_eq!(outcome(&reply), Some(UpdateOutcome::Proved));
    house.event(FRONT, EventType::TokensUpdated).await;
    assert_eq!(house.status(FRONT).condition, Condition::Ok);
    assert_eq!(bench.akuvox.counters().calls_by_name["servers_list"], 1);
    house.stop().await;
}

#[tokio::test]
async fn a_phone_that_takes_the_login_over_is_called_that_and_no_loop_begins() {
    for act in [PhoneAct::SignIn, PhoneAct::Refresh] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[FRONT]).await;
        bench.akuvox.phone(0, act).unwrap();
        assert_eq!(code(&house.refresh(FRONT).await), Some(Code::SignedInElsewhere), "{act:?}");
        assert_eq!(house.event(FRONT, EventType::ReauthRequired).await.error, Some(Code::SignedInElsewhere));
        let calls = bench.akuvox.counters().calls;
        let until = bench.now() + 5 * DAY;
        while bench.now() < until {
            bench.hand.advance(HOUR);
            if house.status(FRONT).next_refresh_at.is_some_and(|it| it <= bench.now()) {
                house.event(FRONT, EventType::RefreshFailed).await;
            }
        }
        // A probe a day, each with its cheap check.
        assert!(bench.akuvox.counters().calls - calls <= 10, "{act:?}");
        assert!(bench.now().duration_since(until).abs() < SignedDuration::from_hours(1));
        // The phone hands its pair on: everything is well again.
        let pushed = bench.akuvox.phone(0, PhoneAct::Push).unwrap();
        let reply = house.update(FRONT, crate::bench::both(&pushed.token, &pushed.refresh_token)).await;
        assert_eq!(outcome(&reply), Some(UpdateOutcome::Proved));
        assert_eq!(house.status(FRONT).condition, Condition::Ok);
        house.stop().await;
    }
}
