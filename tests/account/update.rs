//! Updates: tokens that somebody hands in are tried, and never cost those that are held.

use latchkey::account::{Class, Code, Condition, Proposal, Secret, Settlement, Slot, Taken, UpdateOutcome};

use crate::bench::{
    Bench, DAY, HOUR, MINUTE, access_token, adopted, failed, lost, pair, refresh_token, refused, refused_somehow,
    renewed, unreachable,
};

#[test]
fn proved_tokens_become_the_current_grant_and_the_old_one_stays_at_hand() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    assert_eq!(bench.propose(pair("A2", "R2")), Ok(Taken::Candidate));
    assert_eq!(bench.current(), (Some("A1"), Some("R1")), "nothing is overwritten before the proof");
    assert!(bench.due().unwrap() <= bench.now);
    bench.refresh(renewed("A3", "R3"));
    assert_eq!((bench.current(), bench.record.candidate.as_ref()), ((Some("A3"), Some("R3")), None));
    assert_eq!(bench.record.last_update.unwrap().outcome, UpdateOutcome::Proved);
    assert!(bench.is_held("R1"));
}

#[test]
fn refused_tokens_leave_everything_as_it_was() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    let (due, condition) = (bench.due(), bench.condition());
    bench.propose(pair("A2", "R2")).unwrap();
    assert_eq!(bench.refresh(refused()), Settlement::CandidateRefused);
    assert_eq!((bench.current(), bench.next()), ((Some("A1"), Some("R1")), Some("R1")));
    assert_eq!((bench.due(), bench.condition()), (due, condition));
    assert_eq!(bench.record.last_update.unwrap().outcome, UpdateOutcome::Refused);
    assert!(bench.is_held("R2"), "no answer throws a token away");
}

#[test]
fn a_spent_token_changes_nothing() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(renewed("A2", "R2"));
    bench.refresh(renewed("A3", "R3"));
    let before = bench.record.clone();
    for proposal in [pair("A1", "R1"), refresh_token("R2"), adopted(pair("A9", "R2"))] {
        assert_eq!(bench.propose(proposal.clone()).is_err(), proposal != pair("A1", "R1"));
    }
    assert_eq!(bench.record, before);
}

#[test]
fn the_same_command_delivered_again_gets_the_first_outcome() {
    let mut bench = Bench::akuvox();
    bench.propose(pair("A1", "R1")).unwrap();
    bench.refresh(renewed("A2", "R2"));
    let proved = bench.record.last_update.unwrap();
    let before = bench.record.clone();
    assert_eq!(bench.propose(pair("A1", "R1")), Ok(Taken::Repeated(proved)));
    assert_eq!(bench.record, before);

    let mut bench = Bench::akuvox().holding("A1", "R1");
    let Ok(Taken::Repeated(again)) = bench.propose(adopted(pair("A1", "R1"))) else {
        panic!("it was adopted before");
    };
    assert_eq!(again.outcome, UpdateOutcome::Adopted);
    bench.refresh(renewed("A2", "R2"));
    assert_eq!(bench.propose(adopted(pair("A1", "R1"))), Ok(Taken::Repeated(again)));

    assert_eq!(bench.propose(pair("A2", "R2")), Ok(Taken::Unchanged));
    bench.refresh(renewed("A3", "R3"));
    let Ok(Taken::Repeated(again)) = bench.propose(pair("A2", "R2")) else { panic!("it was unchanged before") };
    assert_eq!(again.outcome, UpdateOutcome::Unchanged);
}

#[test]
fn the_same_candidate_again_is_still_one_candidate_and_takes_what_was_missing() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(refresh_token("R2")).unwrap();
    let generation = bench.record.generation;
    assert_eq!(bench.propose(refresh_token("R2")), Ok(Taken::Candidate));
    assert_eq!(bench.propose(pair("A2", "R2")), Ok(Taken::Candidate));
    assert_eq!(bench.record.generation, generation);
    assert_eq!(bench.record.grant(Slot::Candidate).unwrap().access, Some(Secret::new("A2")));
    assert!(bench.record.set_aside.is_empty());
}

#[test]
fn an_access_token_alone_keeps_the_refresh_token_and_the_doubt() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(lost());
    assert_eq!(bench.propose(access_token("A9")), Ok(Taken::Adopted));
    assert_eq!(bench.propose(access_token("A9")), Ok(Taken::Unchanged));
    assert_eq!((bench.current(), bench.condition()), ((Some("A9"), Some("R1")), Condition::InDoubt));
    bench.record.set_aside.clear();
    bench.refresh(refused());
    assert_eq!(bench.record.dead.unwrap().why, Code::ReplyLost);
}

#[test]
fn a_wrong_access_token_does_not_cost_the_login_where_a_refresh_needs_both() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(access_token("mistyped")).unwrap();
    bench.propose(access_token("mistyped again")).unwrap();
    bench.pass(6 * DAY);
    assert_eq!(bench.refresh(refused()), Settlement::FellBack);
    let next = bench.record.grant(bench.record.next_to_spend().unwrap()).unwrap();
    assert_eq!((next.access.clone(), next.refresh.clone()), (Some(Secret::new("A1")), Some(Secret::new("R1"))));
    bench.refresh(renewed("A2", "R2"));
    assert_eq!((bench.current(), bench.condition()), ((Some("A2"), Some("R2")), Condition::Ok));
    assert_eq!(bench.refresh(refused()), Settlement::ReauthRequired, "no copy of R1 is left to be sent");
}

#[test]
fn a_new_access_token_wakes_a_dead_grant_where_a_refresh_needs_both() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(refused());
    bench.propose(access_token("A9")).unwrap();
    assert!(bench.due().unwrap() <= bench.now);
    assert_eq!(bench.condition(), Condition::ReauthRequired, "a promise is no proof");
}

#[test]
fn a_refresh_token_alone_needs_an_access_token_where_the_vendor_does() {
    let mut bench = Bench::akuvox();
    assert_eq!(bench.propose(refresh_token("R1")), Err(Code::TokenRequired));
    assert_eq!(bench.record, Default::default());
    assert_eq!(Bench::aqara().propose(refresh_token("R1")), Ok(Taken::Candidate));
}

#[test]
fn tokens_that_are_not_to_be_proved_are_taken_as_they_are() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(refused());
    bench.pass(HOUR);
    assert_eq!(bench.propose(adopted(pair("A2", "R2"))), Ok(Taken::Adopted));
    assert_eq!((bench.current(), bench.condition()), ((Some("A2"), Some("R2")), Condition::Ok));
    let due = bench.due().unwrap();
    assert!(bench.now + 5 * DAY < due && due <= bench.now + 6 * DAY);
}

#[test]
fn tokens_whose_age_is_known_are_taken_with_it() {
    let mut bench = Bench::aqara();
    let issued_at = bench.now - 2 * DAY;
    bench.propose(Proposal { issued_at: Some(issued_at), ..pair("A1", "R1") }).unwrap();
    let grant = bench.record.current.as_ref().unwrap();
    assert_eq!(grant.issued_at, issued_at);
    assert_eq!(grant.access_expires_at, Some(issued_at + 7 * DAY));
    assert_eq!(grant.refresh_expires_at, Some(issued_at + 37 * DAY));
    bench.propose(Proposal { issued_at: Some(bench.now + DAY), ..pair("A2", "R2") }).unwrap();
    assert_eq!(bench.record.current.as_ref().unwrap().issued_at, bench.now, "nothing was issued tomorrow");
}

#[test]
fn an_access_token_that_is_kept_keeps_its_end() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(renewed("A2", "R2"));
    let end = bench.record.current.as_ref().unwrap().access_expires_at;
    bench.pass(5 * DAY);
    bench.propose(adopted(refresh_token("R3"))).unwrap();
    assert_eq!(bench.current(), (Some("A2"), Some("R3")));
    assert_eq!(bench.record.current.as_ref().unwrap().access_expires_at, end);
    assert!(bench.due().unwrap() <= bench.now + DAY);
}

#[test]
fn newer_tokens_make_older_ones_step_back_and_not_vanish() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(pair("A2", "R2")).unwrap();
    bench.propose(pair("A3", "R3")).unwrap();
    assert_eq!(bench.next(), Some("R3"));
    bench.propose(adopted(pair("A4", "R4"))).unwrap();
    assert_eq!(bench.next(), Some("R4"), "the newest that the user gave");
    for refresh in ["R1", "R2", "R3", "R4"] {
        assert!(bench.is_held(refresh), "{refresh}");
    }
}

#[test]
fn a_candidate_that_ends_in_nothing_does_not_starve_the_grant_that_works() {
    let endings = [refused_somehow(), lost(), failed(Class::ConfigFault, Code::ConfigFault)];
    for ending in endings {
        let mut bench = Bench::akuvox().holding("A1", "R1");
        bench.propose(pair("mistyped", "junk")).unwrap();
        let mut settlement = bench.refresh(ending.clone());
        let started = bench.now;
        while bench.record.candidate.is_some() {
            assert!(bench.now < started + 3 * HOUR, "{ending:?}");
            bench.now = bench.due().unwrap();
            settlement = bench.refresh(ending.clone());
        }
        assert_eq!(settlement, Settlement::CandidateRefused, "{ending:?}");
        assert_eq!((bench.next(), bench.condition()), (Some("R1"), Condition::Ok), "{ending:?}");
        assert!(bench.is_held("junk"));
        assert_eq!(bench.refresh(refused()), Settlement::FellBack);
        assert_eq!(bench.next(), Some("junk"), "it gets its last chance before a person is asked");
    }
}

#[test]
fn a_candidate_waits_out_a_vendor_that_is_away() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.propose(pair("A2", "R2")).unwrap();
    for _ in 0..10 {
        assert_eq!(bench.refresh(unreachable()), Settlement::Failed);
        bench.pass(HOUR);
    }
    assert_eq!(bench.next(), Some("R2"));
}

#[test]
fn refusals_and_doubts_of_a_candidate_are_its_own() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    bench.refresh(lost());
    bench.refresh(refused_somehow());
    bench.refresh(refused_somehow());
    bench.pass(2 * DAY);
    bench.propose(pair("A2", "R2")).unwrap();
    assert_eq!(bench.refresh(refused_somehow()), Settlement::Failed, "it is the candidate's first refusal");
    bench.refresh(lost());
    bench.refresh(refused());
    assert_eq!(bench.condition(), Condition::InDoubt, "the doubt about the grant in use is not forgotten");
    assert_eq!((bench.record.dead, bench.next()), (None, Some("R1")));
    bench.refresh(refused());
    assert_eq!(bench.record.dead.unwrap().why, Code::ReplyLost);
}

#[test]
fn where_the_current_grant_fell_during_the_proof_a_refused_candidate_is_the_end() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    let attempt = bench.begin();
    bench.propose(pair("A2", "R2")).unwrap();
    assert_eq!(bench.settle(&attempt, refused()), Settlement::FellBack);
    assert_eq!(bench.next(), Some("R2"));
    assert_eq!(bench.refresh(refused()), Settlement::CandidateRefused);
    assert_eq!(bench.condition(), Condition::ReauthRequired);
}

#[test]
fn new_tokens_need_not_wait_for_the_failures_of_the_old_but_for_what_the_vendor_asked() {
    let mut bench = Bench::akuvox().holding("A1", "R1");
    for _ in 0..8 {
        bench.refresh(unreachable());
    }
    bench.propose(pair("A2", "R2")).unwrap();
    assert!(bench.due().unwrap() <= bench.now + MINUTE);
    bench.refresh(failed(Class::Throttled { retry_after: Some(5 * HOUR) }, Code::Throttled));
    bench.propose(pair("A3", "R3")).unwrap();
    assert_eq!(bench.due(), Some(bench.now + 5 * HOUR));
}

#[test]
fn the_first_tokens_of_an_account_are_tried_as_long_as_there_is_nothing_else() {
    let mut bench = Bench::aqara();
    bench.propose(refresh_token("R1")).unwrap();
    for _ in 0..5 {
        bench.refresh(lost());
        bench.pass(HOUR);
    }
    assert_eq!((bench.next(), bench.condition()), (Some("R1"), Condition::Missing));
    bench.propose(refresh_token("R2")).unwrap();
    assert_eq!(bench.refresh(refused()), Settlement::CandidateRefused);
    assert_eq!(bench.next(), Some("R1"), "the older one was never refused");
    assert!(bench.due().is_some());
    bench.refresh(renewed("A3", "R3"));
    assert_eq!((bench.current(), bench.condition()), ((Some("A3"), Some("R3")), Condition::Ok));
}
