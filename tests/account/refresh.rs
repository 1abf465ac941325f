//! Refreshes: what each ending does, and what is left when several go wrong in a row.

use latchkey::account::{Class, Code, Condition, Ending, FreshTokens, Secret, Settlement, Slot, Taken};

use crate::bench::{
    Bench, DAY, HOUR, MINUTE, access_token, adopted, failed, lost, pair, refresh_token, refused, refused_somehow,
    renewed, renewed_access_only, unreachable, unreadable, unreadable_yes,
};

#[test]
fn a_refresh_replaces_both_tokens_and_keeps_the_grant_before() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.pass(6 * DAY);
    assert_eq!(bench.refresh(renewed("A2", "R2")), Settlement::Renewed { slot: Slot::Current });
    assert_eq!(bench.current(), (Some("A2"), Some("R2")));
    assert_eq!(bench.record.previous.as_ref().unwrap().refresh, Some(Secret::new("R1")));
    assert_eq!(bench.next(), Some("R2"));
    assert_eq!((bench.record.refresh_count, bench.record.last_refresh_at), (1, Some(bench.now)));
    assert!(bench.due().unwrap() <= bench.now + 6 * DAY);
}

#[test]
fn a_spent_token_is_not_sent_again_even_when_its_successor_is_refused() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(renewed("A2", "R2"));
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired);
    assert_eq!(bench.next(), Some("R2"));
}

#[test]
fn an_answer_without_a_refresh_token_keeps_the_old_one_which_is_not_spent() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(renewed_access_only("A2"));
    assert_eq!(bench.current(), (Some("A2"), Some("R1")));
    assert!(bench.record.spent.is_empty());
    assert_eq!(bench.next(), Some("R1"));
    bench.refresh(renewed("A3", "R3"));
    assert_eq!(bench.next(), Some("R3"));
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired, "R1 was spent and must not be tried");
}

#[test]
fn a_vendor_that_gives_the_same_refresh_token_back_has_not_spent_it() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(renewed("A2", "R1"));
    assert!(bench.record.spent.is_empty());
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired, "one token is tried once, not once for each copy");
}

#[test]
fn an_answer_without_an_access_token_is_kept_and_is_not_due_again_at_once() {
    let mut bench = Bench::aqara().holding("A1", "R1");
    bench.refresh(renewed("A2", "R2"));
    bench.pass(7 * DAY);
    let only_refresh = FreshTokens { refresh: Some(Secret::new("R3")), ..FreshTokens::default() };
    bench.refresh(Ending::Renewed(only_refresh));
    assert_eq!(bench.current(), (Some("A2"), Some("R3")));
    assert!(bench.now + 6 * DAY < bench.due().unwrap());
}

#[test]
fn a_lost_reply_and_then_a_refusal_says_that_the_reply_was_lost() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert_eq!(bench.refresh(lost()), Settlement::InDoubt);
    assert_eq!(bench.condition(), Condition::InDoubt);
    assert_eq!(bench.next(), Some("R1"), "it may be unspent and is tried again");
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired);
    assert_eq!(bench.record.dead.unwrap().why, Code::ReplyLost);
    assert_eq!(bench.condition(), Condition::ReauthRequired);
    assert!(bench.is_held("R1"));
}

#[test]
fn the_lost_reply_is_told_also_when_another_token_was_tried_in_between() {
    let mut bench = Bench::akuvox().holding("A1", "R1").holding("A2", "R2");
    bench.refresh(lost());
    assert_eq!(bench.refresh(refused()), Settlement::FellBack);
    assert_eq!(bench.next(), Some("R1"));
    bench.refresh(unreachable());
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired);
    assert_eq!(bench.record.dead.unwrap().why, Code::ReplyLost);
}

#[test]
fn a_success_after_a_doubt_clears_it() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(lost());
    let since = bench.record.doubt.unwrap().since;
    bench.pass(HOUR);
    bench.refresh(lost());
    assert_eq!(bench.record.doubt.unwrap().since, since, "the doubt is as old as the first lost reply");
    bench.refresh(renewed("A2", "R2"));
    assert_eq!((bench.record.doubt, bench.condition()), (None, Condition::Ok));
    bench.refresh(refused());
    assert_eq!(bench.record.dead.unwrap().why, Code::SignedInElsewhere);
}

#[test]
fn three_unknown_refusals_within_an_hour_are_not_the_end_and_over_a_day_they_are() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    for _ in 0..3 {
        assert_eq!(bench.refresh(refused_somehow()), Settlement::Failed);
        bench.pass(20 * MINUTE);
    }
    assert_eq!(bench.condition(), Condition::Ok);
    bench.pass(DAY - 2 * HOUR);
    assert_eq!(bench.refresh(refused_somehow()), Settlement::Failed);
    bench.pass(HOUR);
    assert_eq!(bench.refresh(refused_somehow()), Settlement::ReauthRequired);
    assert!(bench.is_held("R1"));
}

#[test]
fn two_unknown_refusals_are_not_the_end_however_far_apart() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(refused_somehow());
    bench.pass(30 * DAY);
    assert_eq!(bench.refresh(refused_somehow()), Settlement::Failed);
}

#[test]
fn a_success_forgets_the_refusals_before_it() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(refused_somehow());
    bench.refresh(refused_somehow());
    bench.refresh(renewed("A2", "R2"));
    bench.pass(2 * DAY);
    assert_eq!(bench.refresh(refused_somehow()), Settlement::Failed);
}

#[test]
fn a_clock_that_went_back_does_not_stretch_the_day_of_refusals() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(refused_somehow());
    bench.now -= 365 * DAY;
    assert_eq!(bench.refresh(refused_somehow()), Settlement::Failed);
    bench.pass(DAY);
    assert_eq!(bench.refresh(refused_somehow()), Settlement::ReauthRequired);
}

#[test]
fn every_unspent_token_is_tried_once_before_a_person_is_asked() {
    let mut bench = Bench::akuvox().holding("A1", "R1").holding("A2", "R2").holding("A3", "R3");
    bench.propose(pair("A4", "R4")).unwrap();
    assert_eq!(bench.refresh(renewed("A5", "R5")), Settlement::Renewed { slot: Slot::Candidate });
    let mut tried = Vec::new();
    loop {
        tried.push(bench.next().unwrap().to_owned());
        match bench.refresh(refused()) {
            Settlement::FellBack => assert_ne!(bench.condition(), Condition::ReauthRequired),
            settlement => {
                assert_eq!(settlement, Settlement::ReauthRequired);
                break;
            }
        }
    }
    assert_eq!(tried, ["R5", "R3", "R2", "R1"]);
    for refresh in tried {
        assert!(bench.is_held(&refresh), "no answer throws {refresh} away");
    }
}

#[test]
fn a_fallback_that_works_is_the_current_grant_again() {
    let mut bench = Bench::akuvox().holding("A1", "R1").holding("A2", "R2");
    assert_eq!(bench.refresh(refused()), Settlement::FellBack);
    assert!(bench.due().unwrap() <= bench.now + MINUTE, "the fallback is not left until its own day");
    assert_eq!(bench.refresh(renewed("A3", "R3")), Settlement::Renewed { slot: Slot::Previous });
    assert_eq!((bench.current(), bench.condition()), ((Some("A3"), Some("R3")), Condition::Ok));
    assert!(bench.is_held("R2"));
}

#[test]
fn a_refresh_of_the_current_grant_does_not_push_out_an_unspent_previous_one() {
    let mut bench = Bench::akuvox().holding("A1", "R1").holding("A2", "R2");
    for n in 3..10 {
        bench.pass(6 * DAY);
        bench.refresh(renewed(&format!("A{n}"), &format!("R{n}")));
    }
    assert!(bench.is_held("R1"));
    assert_eq!(bench.refresh(refused()), Settlement::FellBack);
    assert_eq!(bench.next(), Some("R1"));
}

#[test]
fn a_dead_grant_that_the_vendor_takes_again_lives() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(refused());
    bench.pass(DAY);
    assert_eq!(bench.due(), Some(bench.now));
    assert_eq!(bench.refresh(refused()), Settlement::Failed, "a person is asked once, not every day");
    bench.pass(DAY);
    bench.refresh(renewed("A2", "R2"));
    assert_eq!((bench.record.dead, bench.condition()), (None, Condition::Ok));
}

#[test]
fn an_unreadable_yes_keeps_the_answer_and_never_sends_the_token_again() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert_eq!(bench.refresh(unreadable_yes("holds R2")), Settlement::InDoubt);
    assert_eq!((bench.next(), bench.due(), bench.condition()), (None, None, Condition::InDoubt));
    bench.record.last_update = None;
    assert_eq!(bench.propose(pair("A1", "R1")), Err(Code::AlreadySpent));
    assert_eq!((bench.current(), bench.next()), ((Some("A1"), Some("R1")), None));
    assert_eq!(bench.record.unread.as_ref().unwrap().body, Secret::new("holds R2"));
}

#[test]
fn an_unreadable_yes_ends_every_copy_of_the_token() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(access_token("A9")).unwrap();
    bench.refresh(unreadable_yes("holds R2"));
    assert_eq!(bench.next(), None);
}

#[test]
fn a_later_version_finishes_an_answer_that_was_kept_even_after_an_access_token_came() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(unreadable_yes("holds R2"));
    bench.propose(access_token("A9")).unwrap();
    let unread = bench.record.unread.clone().unwrap();
    let grant = bench.record.grant(unread.slot).unwrap();
    assert_eq!(grant.generation, unread.generation, "the answer is known as the current grant's");
    let attempt = latchkey::account::Attempt {
        id: 77,
        started_at: unread.received_at,
        slot: unread.slot,
        generation: unread.generation,
        fingerprint: crate::bench::fingerprint(grant.refresh.as_ref().unwrap()),
    };
    bench.settle(&attempt, renewed("A2", "R2"));
    assert_eq!((bench.current(), bench.condition()), ((Some("A2"), Some("R2")), Condition::Ok));
    assert_eq!(bench.record.unread, None);
}

#[test]
fn a_second_unreadable_answer_does_not_overwrite_the_one_that_may_hold_the_tokens() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(unreadable("cut, and holds R2"));
    bench.refresh(unreadable("some other noise"));
    assert_eq!(bench.record.unread.as_ref().unwrap().body, Secret::new("cut, and holds R2"));
    bench.refresh(refused());
    assert!(bench.record.unread.is_some(), "a refusal throws nothing away");
}

#[test]
fn a_refresh_of_the_old_grant_keeps_the_unread_answer_to_newer_tokens() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(pair("A2", "R2")).unwrap();
    assert_eq!(bench.refresh(unreadable_yes("holds R3")), Settlement::InDoubt);
    assert_eq!(bench.next(), Some("R1"));
    bench.refresh(renewed("A4", "R4"));
    assert_eq!(bench.record.unread.as_ref().unwrap().body, Secret::new("holds R3"));
}

#[test]
fn a_refusal_of_tokens_that_are_held_no_more_changes_nothing_but_the_attempt() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    let attempt = bench.begin();
    bench.propose(adopted(pair("A2", "R2"))).unwrap();
    let before = bench.record.clone();
    assert_eq!(bench.settle(&attempt, refused()), Settlement::Superseded);
    assert_eq!(bench.record, latchkey::account::Record { attempt: None, ..before });
}

#[test]
fn a_late_ending_does_not_close_the_attempt_that_runs_now() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    let old = bench.begin();
    bench.record.find_open_attempt(bench.now);
    let open = bench.begin();
    bench.settle(&old, unreachable());
    assert_eq!(bench.record.attempt, Some(Box::new(open)));
}

#[test]
fn fresh_tokens_are_taken_even_when_their_grant_is_gone() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    let attempt = bench.begin();
    bench.record = latchkey::account::Record { generation: 8, ..Default::default() };
    bench.settle(&attempt, renewed("A2", "R2"));
    assert_eq!(bench.current(), (Some("A2"), Some("R2")));
    assert_eq!(bench.record.generation, 9);
}

#[test]
fn an_answer_to_replaced_tokens_spends_those_and_not_their_replacement() {
    for proposal in [pair("A3", "R3"), adopted(pair("A3", "R3"))] {
        let mut bench = Bench::akuvox().holding("A1", "R1");
        bench.propose(pair("A2", "R2")).unwrap();
        let attempt = bench.begin();
        bench.propose(proposal).unwrap();
        bench.settle(&attempt, renewed("A4", "R4"));
        for (refresh, is_spent) in [("R1", false), ("R2", true), ("R3", false), ("R4", false)] {
            let print = crate::bench::fingerprint(&Secret::new(refresh));
            assert_eq!(bench.record.spent.contains(&print), is_spent, "{refresh}");
            assert!(is_spent || bench.is_held(refresh), "{refresh} is lost");
            let spendable = bench.record.held().any(|it| it.refresh == Some(Secret::new(refresh)) && it.is_spendable());
            assert_eq!(spendable, !is_spent, "{refresh}");
        }
    }
}

#[test]
fn an_access_token_that_came_during_a_refresh_does_not_make_its_refusal_void() {
    let mut bench = Bench::aqara().holding("A1", "R1");
    let attempt = bench.begin();
    bench.propose(access_token("A9")).unwrap();
    assert_eq!(bench.settle(&attempt, refused()), Settlement::ReauthRequired);
    let mut bench = Bench::aqara().holding("A1", "R1");
    let attempt = bench.begin();
    bench.propose(access_token("A9")).unwrap();
    bench.settle(&attempt, renewed("A2", "R2"));
    assert_eq!((bench.current(), bench.next()), ((Some("A2"), Some("R2")), Some("R2")));
}

#[test]
fn an_open_attempt_is_in_doubt_and_tried_promptly_once_but_not_at_every_crash() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert!(!bench.record.find_open_attempt(bench.now));
    bench.pass(6 * DAY);
    bench.begin();
    assert!(bench.record.find_open_attempt(bench.now));
    assert_eq!((bench.condition(), bench.record.attempt.as_ref()), (Condition::InDoubt, None));
    assert!(bench.due().unwrap() <= bench.now);
    bench.begin();
    assert!(bench.record.find_open_attempt(bench.now));
    assert!(bench.now + 5 * MINUTE < bench.due().unwrap());
    bench.refresh(refused());
    assert_eq!(bench.record.dead.unwrap().why, Code::ReplyLost);
}

#[test]
fn an_open_attempt_of_a_candidate_casts_no_doubt_on_the_grant_in_use() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(pair("A2", "R2")).unwrap();
    bench.begin();
    bench.record.find_open_attempt(bench.now);
    assert_eq!(bench.record.doubt, None);
    assert!(bench.record.doubted_since(Slot::Candidate).is_some());
    // It is shown all the same: what is being proved is the newest.
    assert_eq!(bench.condition(), Condition::InDoubt);
}

#[test]
fn pauses_grow_are_kept_in_the_record_and_end_with_a_success() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.pass(7 * DAY);
    let mut last_wait = jiff::SignedDuration::ZERO;
    for _ in 0..12 {
        bench.refresh(unreachable());
        let wait = bench.due().unwrap().duration_since(bench.now);
        assert!(last_wait <= wait && wait <= jiff::SignedDuration::from_hours(1));
        last_wait = wait;
        bench.now = bench.due().unwrap();
    }
    assert!(jiff::SignedDuration::from_mins(15) < last_wait);
    assert_eq!(bench.record.setbacks.consecutive, 12);
    bench.refresh(renewed("A2", "R2"));
    assert_eq!(bench.record.setbacks, Default::default());
}

#[test]
fn the_vendor_is_left_alone_as_long_as_it_asks_but_a_day_at_most() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.pass(7 * DAY);
    for (asked, waited) in [(5 * HOUR, 5 * HOUR), (3 * DAY, DAY), (std::time::Duration::MAX, DAY)] {
        bench.refresh(failed(Class::Throttled { retry_after: Some(asked) }, Code::Throttled));
        assert_eq!(bench.due(), Some(bench.now + waited));
    }
}

#[test]
fn a_fault_of_the_configuration_leaves_the_tokens_alone() {
    let mut bench = Bench::aqara().holding("A1", "R1");
    bench.refresh(failed(Class::ConfigFault, Code::ConfigFault));
    assert_eq!((bench.condition(), bench.next()), (Condition::ConfigFault, Some("R1")));
    bench.refresh(renewed("A2", "R2"));
    assert_eq!(bench.condition(), Condition::Ok);
}

#[test]
fn a_refresh_token_alone_is_proved_beside_the_access_token_that_is_held() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert_eq!(bench.propose(refresh_token("R2")), Ok(Taken::Candidate));
    let candidate = bench.record.grant(Slot::Candidate).unwrap();
    assert_eq!(candidate.access, Some(Secret::new("A1")));
    bench.refresh(renewed("A3", "R3"));
    assert_eq!(bench.current(), (Some("A3"), Some("R3")));
}

#[test]
fn generations_go_on_from_the_highest_that_anybody_saw() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.record.generation = 40;
    bench.record.unproven = true;
    assert!(bench.due().unwrap() <= bench.now);
    bench.refresh(renewed("A2", "R2"));
    assert_eq!(bench.record.current.as_ref().unwrap().generation, 41);
    assert!(!bench.record.unproven);
}

#[test]
fn a_grant_of_the_vendors_own_that_dies_before_its_time_was_taken_over_by_somebody_else() {
    let why = |bench: &Bench| bench.record.dead.map(|it| it.why);
    let mut renewed_once = Bench::akuvox().holding("A1", "R1");
    renewed_once.refresh(renewed("A2", "R2"));
    renewed_once.pass(DAY);
    renewed_once.refresh(refused());
    assert_eq!(why(&renewed_once), Some(Code::SignedInElsewhere));

    let mut given_by_a_user = Bench::akuvox().holding("A1", "R1");
    given_by_a_user.pass(DAY);
    given_by_a_user.refresh(refused());
    assert_eq!(why(&given_by_a_user), Some(Code::RefreshRefused), "it may be mistyped");

    let mut too_late = Bench::akuvox().holding("A1", "R1");
    too_late.refresh(renewed("A2", "R2"));
    too_late.pass(8 * DAY);
    too_late.refresh(refused());
    assert_eq!(why(&too_late), Some(Code::RefreshRefused), "it may have ended by its age");

    let mut lost_reply = Bench::akuvox().holding("A1", "R1");
    lost_reply.refresh(renewed("A2", "R2"));
    lost_reply.pass(HOUR);
    lost_reply.refresh(lost());
    lost_reply.refresh(refused());
    assert_eq!(why(&lost_reply), Some(Code::ReplyLost), "our own refresh may have done it");
}
