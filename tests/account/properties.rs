//! What holds whatever happens, in any order.

use std::collections::{BTreeMap, BTreeSet};

use latchkey::account::{Attempt, Class, Code, Ending, FreshTokens, Record, Secret, Settlement};
use proptest::prelude::*;

use crate::bench::{
    Bench, DAY, HOUR, MINUTE, access_token, adopted, failed, fingerprint, lost, pair, refresh_token, refused,
    refused_somehow, renewed, unreachable, unreadable, unreadable_yes,
};

/// So few that what is set aside always finds room.
const TOKENS: usize = 10;
const MOST_LOGINS: usize = 3;
const MOST_FORGOTTEN: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    Propose {
        token: usize,
        is_pair: bool,
        prove: bool,
    },
    ProposeAccess {
        token: usize,
    },
    /// Starts a refresh where none runs.
    Begin,
    /// Ends the one that runs, if one does.
    Settle(End),
    /// A failure of some earlier refresh is told again.
    SettleOldAgain(End),
    /// Where no refresh runs: they are flights of the same account.
    SignIn {
        has_refresh: bool,
    },
    LoseLogin,
    /// The vendor is shown the access token at hand: it gives another refresh token, nothing, or does not take it.
    CheckIn(Option<bool>),
    Forget,
    Recall,
    /// The process ends and starts again.
    Restart,
    /// The same, and meanwhile the account was given to this vendor.
    Move {
        to: &'static str,
    },
    Pass {
        minutes: u32,
    },
    ClockBack {
        hours: u32,
    },
}

#[derive(Clone, Copy, Debug)]
enum End {
    Rotated,
    AccessOnly,
    RefreshOnly,
    SameRefresh,
    Lost,
    Unreadable,
    UnreadableYes,
    Refused,
    RefusedSomehow,
    Unreachable,
    Throttled,
    ConfigFault,
    ClockSkew,
}

impl End {
    fn of(self, attempt_token: &str, fresh: usize) -> Ending {
        match self {
            Self::Rotated => renewed(&format!("A-fresh{fresh}"), &format!("R-fresh{fresh}")),
            Self::AccessOnly => crate::bench::renewed_access_only(&format!("A-fresh{fresh}")),
            Self::RefreshOnly => Ending::Renewed(FreshTokens {
                refresh: Some(Secret::new(format!("R-fresh{fresh}"))),
                ..FreshTokens::default()
            }),
            Self::SameRefresh => renewed(&format!("A-fresh{fresh}"), attempt_token),
            Self::Lost => lost(),
            Self::Unreadable => unreadable("noise"),
            Self::UnreadableYes => unreadable_yes("yes"),
            Self::Refused => refused(),
            Self::RefusedSomehow => refused_somehow(),
            Self::Unreachable => unreachable(),
            Self::Throttled => failed(Class::Throttled { retry_after: Some(DAY) }, Code::Throttled),
            Self::ConfigFault => failed(Class::ConfigFault, Code::ConfigFault),
            Self::ClockSkew => failed(Class::ClockSkew { vendor_ahead_by: None }, Code::ClockSkew),
        }
    }
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        3 => Just(End::Rotated),
        1 => Just(End::AccessOnly),
        1 => Just(End::RefreshOnly),
        1 => Just(End::SameRefresh),
        2 => Just(End::Lost),
        1 => Just(End::Unreadable),
        1 => Just(End::UnreadableYes),
        3 => Just(End::Refused),
        2 => Just(End::RefusedSomehow),
        1 => Just(End::Unreachable),
        1 => Just(End::Throttled),
        1 => Just(End::ConfigFault),
        1 => Just(End::ClockSkew),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..TOKENS, any::<bool>(), any::<bool>())
            .prop_map(|(token, is_pair, prove)| Step::Propose { token, is_pair, prove }),
        1 => (0..TOKENS).prop_map(|token| Step::ProposeAccess { token }),
        6 => Just(Step::Begin),
        6 => end().prop_map(Step::Settle),
        1 => end().prop_map(Step::SettleOldAgain),
        1 => any::<bool>().prop_map(|has_refresh| Step::SignIn { has_refresh }),
        1 => Just(Step::LoseLogin),
        1 => any::<Option<bool>>().prop_map(Step::CheckIn),
        1 => Just(Step::Forget),
        1 => Just(Step::Recall),
        1 => Just(Step::Restart),
        1 => prop_oneof![Just("akuvox"), Just("aqara")].prop_map(|to| Step::Move { to }),
        2 => (1..3_000u32).prop_map(|minutes| Step::Pass { minutes }),
        1 => (1..10_000u32).prop_map(|hours| Step::ClockBack { hours }),
    ]
}

/// The account, and beside it what must be true of it.
struct Watched {
    bench: Bench,
    taken: BTreeSet<String>,
    /// At which vendors the account was when it was given which token.
    given_at: BTreeMap<String, BTreeSet<String>>,
    spent: BTreeSet<String>,
    running: Option<(Attempt, String)>,
    old: Vec<Attempt>,
    n_fresh: usize,
    n_logins: usize,
}

fn pair_of(record: &Record) -> (Option<&str>, Option<&str>) {
    let Some(grant) = &record.current else { return (None, None) };
    (grant.access.as_ref().map(Secret::expose), grant.refresh.as_ref().map(Secret::expose))
}

impl Watched {
    fn new(mut bench: Bench) -> Self {
        bench.record.belong_to("akuvox", bench.now);
        Self {
            bench,
            taken: BTreeSet::new(),
            given_at: BTreeMap::new(),
            spent: BTreeSet::new(),
            running: None,
            old: Vec::new(),
            n_fresh: 0,
            n_logins: 0,
        }
    }

    fn vendor(&self) -> String {
        self.bench.record.vendor.as_deref().unwrap().to_owned()
    }

    fn given(&mut self, refresh: String) {
        let vendor = self.vendor();
        self.given_at.entry(refresh.clone()).or_default().insert(vendor);
        self.taken.insert(refresh);
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        let before = self.bench.record.clone();
        match step {
            Step::Propose { token, is_pair, prove } => {
                let refresh = format!("R{token}");
                let proposal = if is_pair { pair(&format!("A{token}"), &refresh) } else { refresh_token(&refresh) };
                let proposal = if prove { proposal } else { adopted(proposal) };
                let result = self.bench.propose(proposal);
                if self.spent.contains(&refresh) {
                    prop_assert_eq!(&self.bench.record, &before, "a spent token changed something");
                } else if result.is_ok() {
                    self.given(refresh);
                } else {
                    prop_assert_eq!(&self.bench.record, &before, "an error changed something");
                }
            }
            Step::ProposeAccess { token } => {
                let held = self.bench.current().1.map(str::to_owned);
                self.bench.propose(access_token(&format!("A-given{token}"))).unwrap();
                prop_assert_eq!(self.bench.current().1.map(str::to_owned), held);
                prop_assert_eq!(self.bench.record.doubt.is_some(), before.doubt.is_some());
            }
            Step::Begin => {
                if self.running.is_some() || self.bench.record.next_to_spend().is_none() {
                    return Ok(());
                }
                let sent = self.bench.next().unwrap().to_owned();
                prop_assert!(!self.spent.contains(&sent), "{} is sent a second time", sent);
                self.running = Some((self.bench.begin(), sent));
            }
            Step::Settle(end) => {
                let Some((attempt, sent)) = self.running.take() else { return Ok(()) };
                self.settle(end, &attempt, &sent)?;
                self.old.push(attempt);
            }
            Step::SettleOldAgain(end) => {
                let is_failure = matches!(end, End::Lost | End::Refused | End::RefusedSomehow | End::Unreachable);
                let Some(attempt) = self.old.last().cloned().filter(|_| is_failure) else { return Ok(()) };
                let is_held = self.bench.record.grant(attempt.slot).map(|it| it.generation) == Some(attempt.generation);
                if !is_held {
                    let settlement = self.bench.settle(&attempt, end.of("", 0));
                    prop_assert_eq!(settlement, Settlement::Superseded);
                    prop_assert_eq!(&self.bench.record, &before);
                }
            }
            Step::SignIn { .. } | Step::LoseLogin | Step::CheckIn(_) | Step::Forget | Step::Recall
                if self.running.is_some() =>
            {
                return Ok(());
            }
            Step::SignIn { has_refresh } => self.sign_in(has_refresh)?,
            Step::LoseLogin => {
                self.bench.record.begin_login(false, self.bench.now);
                prop_assert!(self.bench.record.find_open_login(self.bench.now));
                prop_assert_eq!(self.bench.current(), pair_of(&before));
            }
            Step::CheckIn(Some(brings_refresh)) => self.check_in(brings_refresh),
            Step::CheckIn(None) => self.bench.record.withdraw_access(before.generation, self.bench.now),
            Step::Forget if self.bench.record.forgotten.len() < MOST_FORGOTTEN => {
                if self.bench.record.forget(self.bench.now) {
                    prop_assert_eq!(self.bench.next(), None);
                }
            }
            Step::Forget => {}
            Step::Recall => {
                let is_recalled = self.bench.record.recall();
                prop_assert_eq!(&self.bench.record.spent, &before.spent);
                prop_assert_eq!(is_recalled, before.held().next().is_none() && before.has_forgotten());
                // What it was told before it was forgotten is not told anew.
                let before = self.bench.record.clone();
                return self.check(&before);
            }
            Step::Restart => {
                let is_open = self.bench.record.find_open_attempt(self.bench.now);
                prop_assert_eq!(is_open, self.running.take().is_some());
            }
            Step::Move { to } => {
                self.bench.record.find_open_attempt(self.bench.now);
                self.running = None;
                if MOST_FORGOTTEN <= self.bench.record.forgotten.len() {
                    return Ok(());
                }
                let there = self.bench.record.clone();
                let left = self.bench.record.belong_to(to, self.bench.now);
                prop_assert_eq!(left.is_some(), there.vendor.as_deref() != Some(to));
                prop_assert_eq!(&self.bench.record.spent, &there.spent);
                let before = self.bench.record.clone();
                return self.check(&before);
            }
            Step::Pass { minutes } => self.bench.pass(minutes * MINUTE),
            Step::ClockBack { hours } => self.bench.now -= hours * HOUR,
        }
        self.check(&before)
    }

    fn settle(&mut self, end: End, attempt: &Attempt, sent: &str) -> Result<(), TestCaseError> {
        self.n_fresh += 1;
        let fresh = format!("R-fresh{}", self.n_fresh);
        let settlement = self.bench.settle(attempt, end.of(sent, self.n_fresh));
        match end {
            End::Rotated | End::RefreshOnly => {
                self.spent.insert(sent.to_owned());
                self.given(fresh.clone());
                prop_assert!(matches!(settlement, Settlement::Renewed { .. }), "fresh tokens were dropped");
                prop_assert_eq!(self.bench.current().1, Some(fresh.as_str()));
            }
            End::AccessOnly | End::SameRefresh => {
                prop_assert!(matches!(settlement, Settlement::Renewed { .. }), "fresh tokens were dropped");
                prop_assert_eq!(self.bench.current().1, Some(sent));
            }
            End::UnreadableYes => {
                self.spent.insert(sent.to_owned());
                prop_assert!(self.bench.record.unread.is_some());
            }
            _ => {}
        }
        Ok(())
    }

    fn sign_in(&mut self, has_refresh: bool) -> Result<(), TestCaseError> {
        if MOST_LOGINS <= self.n_logins {
            return Ok(());
        }
        self.n_logins += 1;
        let refresh = format!("R-login{}", self.n_logins);
        let fresh = FreshTokens {
            access: Some(Secret::new(format!("A-login{}", self.n_logins))),
            refresh: has_refresh.then(|| Secret::new(refresh.as_str())),
            access_lifetime: Some(7 * DAY),
            ..FreshTokens::default()
        };
        let held = self.bench.current().1.map(str::to_owned);
        self.bench.record.begin_login(false, self.bench.now);
        self.bench.record.sign_in(fresh, &self.bench.policy, self.bench.now);
        let expected = if has_refresh { Some(refresh.clone()) } else { held };
        prop_assert_eq!(self.bench.current().1.map(str::to_owned), expected);
        if has_refresh {
            self.given(refresh);
        }
        prop_assert!(self.bench.record.dead.is_none() && self.bench.record.doubt.is_none());
        Ok(())
    }

    fn check_in(&mut self, brings_refresh: bool) {
        if MOST_LOGINS <= self.n_logins || self.bench.record.current.is_none() {
            return;
        }
        self.n_logins += 1;
        let refresh = format!("R-login{}", self.n_logins);
        let fresh = brings_refresh.then(|| Secret::new(refresh.as_str()));
        let fresh = FreshTokens { refresh: fresh, ..FreshTokens::default() };
        self.bench.record.check_in(fresh, &self.bench.policy, self.bench.now);
        if brings_refresh {
            self.given(refresh);
        }
    }

    fn check(&self, before: &Record) -> Result<(), TestCaseError> {
        let record = &self.bench.record;
        prop_assert!(before.generation <= record.generation, "the generation went down");
        let known = record.spent.iter().rev().skip_while(|it| !before.spent.contains(it));
        prop_assert!(known.into_iter().all(|it| before.spent.contains(it)), "what is new is not behind what was known");
        for refresh in self.taken.difference(&self.spent) {
            prop_assert!(self.bench.is_held(refresh), "the last copy of {} is gone", refresh);
        }
        for refresh in &self.spent {
            prop_assert!(record.spent.contains(&fingerprint(&Secret::new(refresh.as_str()))));
            prop_assert_ne!(self.bench.next(), Some(refresh.as_str()), "a spent token is next");
        }
        if let Some(next) = self.bench.next() {
            let is_at_home = self.given_at.get(next).is_some_and(|it| it.contains(&self.vendor()));
            prop_assert!(is_at_home, "{} would be shown to {}", next, self.vendor());
        }
        let highest = record.held().map(|it| it.generation).max().unwrap_or_default();
        prop_assert!(highest <= record.generation);
        if before.dead.is_none() && record.dead.is_some() {
            let is_left = record.held().any(|it| it.is_spendable());
            prop_assert!(!is_left, "a person was asked though a token was left to try");
        }
        if let Some(due) = self.bench.due() {
            let longest = jiff::SignedDuration::from_hours(9 * 24);
            prop_assert!(due.duration_since(self.bench.now) < longest, "it is not due before {}", due);
            if let Some(last) = record.last_attempt_at.filter(|it| *it <= self.bench.now) {
                prop_assert!(last + MINUTE <= due, "two refreshes within a minute");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_loses_a_refresh_token_or_sends_one_again(
        needs_both in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut watched = Watched::new(if needs_both { Bench::akuvox() } else { Bench::aqara() });
        for step in steps {
            watched.take(step)?;
        }
    }

    #[test]
    fn a_refresh_that_works_cures_everything(
        needs_both in any::<bool>(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut watched = Watched::new(if needs_both { Bench::akuvox() } else { Bench::aqara() });
        for step in steps {
            watched.take(step)?;
        }
        let running = watched.running.take();
        let attempt = match running {
            Some((attempt, _)) => attempt,
            None if watched.bench.record.next_to_spend().is_some() => watched.bench.begin(),
            None => return Ok(()),
        };
        watched.bench.settle(&attempt, renewed("A-last", "R-last"));
        let record = &watched.bench.record;
        prop_assert_eq!(watched.bench.current(), (Some("A-last"), Some("R-last")));
        prop_assert_eq!(record.setbacks, Default::default());
        prop_assert!(record.dead.is_none() && record.doubt.is_none() && !record.fault && record.attempt.is_none());
        prop_assert_eq!(watched.bench.condition(), latchkey::account::Condition::Ok);
    }
}
