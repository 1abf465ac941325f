//! What the book of grants promises, rule by rule.

use std::time::Duration;

use jiff::Timestamp;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn strict() -> RotationRules {
    RotationRules {
        access_life: 7 * DAY,
        refresh_life: RefreshLife::BeyondAccess(30 * DAY),
        refresh_grace: Duration::ZERO,
        access_grace: Duration::ZERO,
        replay_revokes_family: false,
        wants_matching_access_token: false,
        refreshes_after_access_expiry: true,
        login_ends_the_one_before: true,
        refresh_keeps_chosen_life: true,
    }
}

fn start() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

#[test]
fn a_refresh_token_works_once_and_its_access_token_dies_with_it() {
    let (mut book, rules) = (GrantBook::default(), strict());
    let first = book.log_in(0, None, start(), &rules);
    let second = book.refresh(&first.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
    assert_eq!(second.generation, 2);
    assert_eq!(book.check_access(&first.access_token, start(), &rules), Err(AccessRefusal::Ended));
    assert_eq!(book.check_access(&second.access_token, start(), &rules), Ok(0));
    let replay = book.refresh(&first.refresh_token, None, false, start(), &rules);
    assert_eq!(replay.err(), Some(RefreshRefusal::Spent));
    assert_eq!(book.check_access(&second.access_token, start(), &rules), Ok(0));
}

#[test]
fn tokens_end_at_the_second() {
    let (mut book, rules) = (GrantBook::default(), strict());
    let pair = book.log_in(0, None, start(), &rules);
    let (access_end, refresh_end) = (start() + 7 * DAY, start() + 37 * DAY);
    let instant = Duration::from_nanos(1);
    assert_eq!(book.check_access(&pair.access_token, access_end - instant, &rules), Ok(0));
    assert_eq!(book.check_access(&pair.access_token, access_end, &rules), Err(AccessRefusal::Expired));
    let late = book.refresh(&pair.refresh_token, None, false, refresh_end, &rules);
    assert_eq!(late.err(), Some(RefreshRefusal::Expired));
    assert!(book.refresh(&pair.refresh_token, None, false, refresh_end - instant, &rules).is_ok());
}

#[test]
fn within_the_grace_a_spent_token_is_answered_with_the_same_successor() {
    let rules = RotationRules { refresh_grace: Duration::from_secs(60), ..strict() };
    let mut book = GrantBook::default();
    let first = book.log_in(0, None, start(), &rules);
    let second = book.refresh(&first.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
    let soon = start() + Duration::from_secs(59);
    let again = book.refresh(&first.refresh_token, None, false, soon, &rules).ok().unwrap();
    assert!(again.is_repeated);
    assert_eq!(again.pair.refresh_token, second.refresh_token);
    let too_late = book.refresh(&first.refresh_token, None, false, start() + Duration::from_secs(60), &rules);
    assert_eq!(too_late.err(), Some(RefreshRefusal::Spent));
    // Once the successor was spent too, there is nothing left to repeat.
    book.refresh(&second.refresh_token, None, false, soon, &rules).ok().unwrap();
    assert!(book.refresh(&first.refresh_token, None, false, soon, &rules).is_err());
}

#[test]
fn a_replay_ends_the_login_where_the_rules_say_so() {
    let rules = RotationRules { replay_revokes_family: true, ..strict() };
    let mut book = GrantBook::default();
    let first = book.log_in(0, None, start(), &rules);
    let second = book.refresh(&first.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
    let replay = book.refresh(&first.refresh_token, None, false, start(), &rules);
    assert_eq!(replay.err(), Some(RefreshRefusal::Spent));
    assert_eq!(book.check_access(&second.access_token, start(), &rules), Err(AccessRefusal::Ended));
    let orphan = book.refresh(&second.refresh_token, None, false, start(), &rules);
    assert_eq!(orphan.err(), Some(RefreshRefusal::Revoked));
}

#[test]
fn a_new_login_ends_the_one_before_unless_told_otherwise() {
    for ends in [true, false] {
        let rules = RotationRules { login_ends_the_one_before: ends, ..strict() };
        let mut book = GrantBook::default();
        let first = book.log_in(0, None, start(), &rules);
        let second = book.log_in(0, None, start(), &rules);
        assert_eq!(book.check_access(&first.access_token, start(), &rules).is_err(), ends);
        assert!(book.check_access(&second.access_token, start(), &rules).is_ok());
        assert_eq!(book.refresh(&first.refresh_token, None, false, start(), &rules).is_err(), ends);
    }
}

#[test]
fn a_refresh_may_want_the_access_token_it_was_issued_with() {
    let rules = RotationRules { wants_matching_access_token: true, ..strict() };
    let mut book = GrantBook::default();
    let pair = book.log_in(0, None, start(), &rules);
    for wrong in [None, Some("another")] {
        let refused = book.refresh(&pair.refresh_token, wrong, false, start(), &rules);
        assert_eq!(refused.err(), Some(RefreshRefusal::WrongAccessToken));
    }
    assert!(book.refresh(&pair.refresh_token, Some(&pair.access_token), false, start(), &rules).is_ok());
}

#[test]
fn a_life_that_was_chosen_at_login_is_kept_by_refreshes_unless_told_otherwise() {
    for keeps in [true, false] {
        let rules = RotationRules { refresh_keeps_chosen_life: keeps, ..strict() };
        let mut book = GrantBook::default();
        let chosen = book.log_in(0, Some(DAY), start(), &rules);
        assert_eq!(chosen.access_expires_at, start() + DAY);
        let next = book.refresh(&chosen.refresh_token, None, false, start(), &rules).ok().unwrap().pair;
        assert_eq!(next.access_expires_at, start() + if keeps { DAY } else { 7 * DAY });
    }
}

#[test]
fn what_is_honoured_is_what_a_refresh_would_take() {
    let rules = RotationRules { login_ends_the_one_before: false, ..strict() };
    let mut book = GrantBook::default();
    let first = book.log_in(0, None, start(), &rules);
    let second = book.log_in(0, None, start(), &rules);
    book.log_in(1, None, start(), &rules);
    let third = book.refresh(&first.refresh_token, None, false, start() + DAY, &rules).ok().unwrap().pair;
    let honoured =
        |now| -> Vec<String> { book.honoured(0, now, &rules).into_iter().map(|it| it.refresh_token.clone()).collect() };
    assert_eq!(honoured(start() + DAY), [third.refresh_token.clone(), second.refresh_token]);
    assert_eq!(honoured(start() + 37 * DAY), [third.refresh_token]);
    assert!(honoured(start() + 38 * DAY).is_empty());
}
