//! `update_tokens` proposes: nothing is overwritten by tokens that do not work.

use std::time::Duration;

use latchkey::{
    account::{Code, Condition, EventType, Proposal, ProposedTokens, Secret, UpdateOutcome},
    demo::clouds::{Fault, FaultKind, Scope},
};

use super::bench::{
    Bench, CABIN, DAY, FRONT, HOME, MINUTE, SIDE, both, code, in_time, outcome, proposal, refresh_token,
};

#[tokio::test]
async fn tokens_are_proved_and_the_same_command_again_gets_the_same_reply() {
    let bench = Bench::new().await;
    let mut house = bench.start(&[FRONT, HOME]);
    for name in [FRONT, HOME] {
        assert_eq!(house.status(name).condition, Condition::Missing);
        let tokens = bench.pair_of(name);
        let first = house.update(name, tokens.clone()).await;
        assert_eq!(outcome(&first), Some(UpdateOutcome::Proved));
        house.event(name, EventType::TokensUpdated).await;
        let calls = (bench.akuvox.counters().calls, bench.aqara.counters().calls);
        assert_eq!(house.update(name, tokens).await, first);
        assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), calls);
    }
    house.stop().await;
}

#[tokio::test]
async fn a_spent_refresh_token_changes_nothing_even_after_a_restart() {
    let bench = Bench::new().await;
    let house = bench.start(&[HOME]);
    let first = bench.pair_of(HOME);
    house.update(HOME, first.clone()).await.unwrap();
    let second = bench.pair_of(HOME);
    bench.hand.advance(DAY);
    house.refresh(HOME).await.unwrap();
    house.stop().await;
    let house = bench.start(&[HOME]);
    let before = house.status(HOME);
    assert_eq!(code(&house.update(HOME, second).await), Some(Code::AlreadySpent));
    assert_eq!(house.status(HOME), before);
    assert_eq!(bench.aqara.counters().replays, 0);
    house.stop().await;
}

#[tokio::test]
async fn refused_tokens_leave_the_old_ones_working() {
    for (name, wrong) in [(HOME, refresh_token("no-such-refresh-token")), (FRONT, both("no-access", "no-refresh"))] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[name]).await;
        let reply = house.update(name, wrong).await;
        assert_eq!(code(&reply), Some(Code::RefreshRefused), "{reply:?}");
        house.event(name, EventType::UpdateRefused).await;
        assert_eq!(house.status(name).condition, Condition::Ok);
        bench.hand.advance(MINUTE);
        house.refresh(name).await.unwrap();
        assert_eq!(house.status(name).condition, Condition::Ok);
        house.stop().await;
    }
}

#[tokio::test]
async fn akuvox_needs_an_access_token_to_begin_with() {
    let bench = Bench::new().await;
    let house = bench.start(&[FRONT]);
    let credentials = bench.akuvox.credentials(0);
    let reply = house.update(FRONT, refresh_token(&credentials.refresh_token)).await;
    assert_eq!(code(&reply), Some(Code::TokenRequired));
    assert_eq!(house.status(FRONT).condition, Condition::Missing);
    assert_eq!(bench.akuvox.counters().calls, 0);
    house.stop().await;
}

#[tokio::test]
async fn a_refresh_token_that_another_account_holds_is_not_taken_also_when_both_ask_at_once() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, CABIN, FRONT]).await;
    let reply = house.update(CABIN, bench.pair_of(HOME)).await;
    assert_eq!(code(&reply), Some(Code::TokenInUse));
    assert_eq!(bench.aqara.counters().replays, 0);

    bench.aqara.sign_in(0);
    let tokens = bench.pair_of(HOME);
    let tickets = [HOME, CABIN].map(|it| house.submit(it, proposal(tokens.clone())));
    let mut replies = Vec::new();
    for ticket in tickets {
        replies.push(in_time(ticket.reply).await.unwrap());
    }
    assert_eq!(replies.iter().filter(|it| it.is_ok()).count(), 1, "{replies:?}");
    assert_eq!(bench.aqara.counters().replays, 0);
    house.stop().await;
}

#[tokio::test]
async fn what_one_account_has_spent_is_not_sent_by_another() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, CABIN]).await;
    let old = bench.pair_of(HOME);
    for _ in 0..2 {
        house.refresh(HOME).await.unwrap();
        bench.hand.advance(DAY);
    }
    let calls = bench.aqara.counters().calls;
    let reply = house.update(CABIN, old).await;
    assert_eq!(code(&reply), Some(Code::AlreadySpent));
    assert_eq!((bench.aqara.counters().calls, bench.aqara.counters().replays), (calls, 0));
    house.refresh(CABIN).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn tokens_that_are_not_to_be_proved_are_taken_without_a_call() {
    let bench = Bench::new().await;
    let house = bench.start(&[FRONT, HOME]);
    let unproved = Proposal { prove: false, ..proposal(bench.pair_of(FRONT)) };
    let reply = house.propose(FRONT, unproved.clone()).await;
    assert_eq!(outcome(&reply), Some(UpdateOutcome::Adopted));
    assert_eq!(house.propose(FRONT, unproved).await, reply);
    let issued_at = bench.now() - 2 * DAY;
    let dated = Proposal { issued_at: Some(issued_at), ..proposal(bench.pair_of(HOME)) };
    assert_eq!(outcome(&house.propose(HOME, dated).await), Some(UpdateOutcome::Adopted));
    let status = house.status(HOME);
    assert_eq!(status.access_token_expires_at, Some(issued_at + 7 * DAY));
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), (0, 0));
    house.refresh(FRONT).await.unwrap();
    house.stop().await;
}

#[tokio::test]
async fn an_access_token_alone_waits_for_a_refresh_in_flight_and_replaces_nothing_else() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
    let before = bench.aqara.counters().refreshes;
    let ticket = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.refreshes == before + 1)).await;
    let access = Secret::new("an-access-token-from-elsewhere");
    let update = house.submit(HOME, proposal(ProposedTokens::Access(access)));
    in_time(ticket.reply).await.unwrap().unwrap();
    let reply = in_time(update.reply).await.unwrap();
    assert_eq!(outcome(&reply), Some(UpdateOutcome::Adopted));
    let status = house.until(HOME, |it| it.refresh_count == 2).await;
    assert_eq!(status.generation, 4);
    // The vendor does not know that access token; the refresh token beside it is the newest and cures it.
    bench.hand.advance(MINUTE);
    house.scene(HOME, "tv_warning").await.unwrap();
    assert_eq!(bench.aqara.counters().replays, 0);
    house.stop().await;
}

#[tokio::test]
async fn tokens_that_arrive_while_the_cloud_is_down_are_kept_and_proved_by_the_schedule_also_after_a_restart() {
    for restarts in [false, true] {
        let bench = Bench::new().await;
        let mut house = bench.settled(&[HOME]).await;
        bench.aqara.sign_in(0);
        bench.aqara.inject(Fault::new(FaultKind::ResetBefore).on(Scope::Refresh, 2));
        let mut ticket = house.submit(HOME, proposal(bench.pair_of(HOME)));
        in_time(&mut ticket.taken).await.unwrap();
        assert_eq!(outcome(&in_time(ticket.reply).await.unwrap()), Some(UpdateOutcome::Pending));
        assert_eq!(house.status(HOME).condition, Condition::InDoubt, "the reply to their proof may be lost");
        if restarts {
            house.stop().await;
            house = bench.start(&[HOME]);
        }
        bench.wait_out(&mut house, HOME, |it| it.refresh_count == 2).await;
        house.event(HOME, EventType::TokensUpdated).await;
        assert_eq!(house.status(HOME).condition, Condition::Ok);
        assert_eq!(bench.aqara.counters().replays, 0);
        house.stop().await;
    }
}

#[tokio::test]
async fn new_tokens_are_proved_at_once_though_a_refresh_of_the_old_ones_fails_meanwhile() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.5));
    let before = bench.aqara.counters().calls;
    let old = house.submit_refresh(HOME);
    in_time(bench.aqara.wait_for(|it| it.calls == before + 1)).await;
    // A new login ends the one before, so the refresh in flight will be refused.
    bench.aqara.sign_in(0);
    let reply = house.update(HOME, bench.pair_of(HOME)).await;
    assert_eq!(outcome(&reply), Some(UpdateOutcome::Proved), "{reply:?}");
    let _ = in_time(old.reply).await.unwrap();
    assert_eq!(house.status(HOME).condition, Condition::Ok);
    house.stop().await;
}

#[tokio::test]
async fn newer_tokens_are_not_lost_to_the_answer_for_those_proposed_before() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME, CABIN]).await;
    bench.aqara.sign_in(0);
    let first = bench.pair_of(HOME);
    bench.aqara.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
    let before = bench.aqara.counters().refreshes;
    let first = house.submit(HOME, proposal(first));
    in_time(bench.aqara.wait_for(|it| it.refreshes == before + 1)).await;
    bench.aqara.sign_in(0);
    let second = house.update(HOME, bench.pair_of(HOME)).await;
    assert_eq!(outcome(&second), Some(UpdateOutcome::Proved));
    assert_eq!(outcome(&in_time(first.reply).await.unwrap()), Some(UpdateOutcome::Proved));
    bench.hand.advance(MINUTE);
    house.refresh(HOME).await.unwrap();
    assert_eq!(bench.aqara.counters().replays, 0);
    house.stop().await;
}

#[tokio::test]
async fn the_token_that_is_being_spent_is_not_taken_for_a_new_one() {
    let bench = Bench::new().await;
    let house = bench.settled(&[SIDE]).await;
    let tokens = bench.pair_of(SIDE);
    bench.akuvox.inject(Fault::new(FaultKind::Slow).lasting(0.5).after());
    let before = bench.akuvox.counters().refreshes;
    let flying = house.submit_refresh(SIDE);
    in_time(bench.akuvox.wait_for(|it| it.refreshes == before + 1)).await;
    let reply = house.update(SIDE, tokens).await;
    assert_eq!(code(&reply), Some(Code::AlreadySpent), "{reply:?}");
    in_time(flying.reply).await.unwrap().unwrap();
    assert_eq!(bench.akuvox.counters().replays, 0);
    house.stop().await;
}

#[tokio::test]
async fn new_tokens_need_not_wait_for_the_minute() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    house.refresh(HOME).await.unwrap();
    bench.hand.advance(Duration::from_secs(1));
    bench.aqara.sign_in(0);
    assert_eq!(outcome(&house.update(HOME, bench.pair_of(HOME)).await), Some(UpdateOutcome::Proved));
    house.stop().await;
}

#[tokio::test]
async fn a_refresh_that_is_asked_for_right_behind_new_tokens_does_not_overtake_them() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT]).await;
    for _ in 0..20 {
        bench.hand.advance(MINUTE);
        // They are those that the refresh would spend.
        let update = house.submit(FRONT, proposal(bench.pair_of(FRONT)));
        let refresh = house.submit_refresh(FRONT);
        assert_eq!(outcome(&in_time(update.reply).await.unwrap()), Some(UpdateOutcome::Unchanged));
        in_time(refresh.reply).await.unwrap().unwrap();
    }
    assert_eq!(bench.akuvox.counters().replays, 0);
    house.stop().await;
}
