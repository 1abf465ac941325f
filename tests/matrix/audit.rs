//! What must hold in every case, read from the cloud's own log and from what Latchkey has on disk.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use latchkey::{
    account::Record,
    demo::clouds::{IssuedPair, LogEntry, grants::Pair},
};

/// A back-off begins with this; only the prompt second try after a lost reply comes sooner.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// What an application may call, and how often one login is refreshed at most.
const WINDOW: SignedDuration = SignedDuration::from_secs(300);
const CALLS_A_WINDOW: usize = 300;
const REFRESHES_A_MINUTE: usize = 3;
/// Far more than a case needs: whoever gets here, hammers.
const MOST_CALLS: usize = 400;

/// The pairs that came into Latchkey's hands: from a user, or in an answer that arrived.
#[derive(Default)]
pub(crate) struct Given(BTreeSet<IssuedPair>);

impl Given {
    pub(crate) fn by_user(&mut self, access_token: &str, refresh_token: &str) {
        self.0.insert(IssuedPair::of(access_token, refresh_token));
    }

    /// Every pair of Latchkey's that the cloud still takes is held, and may be sent.
    pub(crate) fn are_held(
        &self,
        log: &[LogEntry],
        honoured: &[Pair],
        record: &Record,
        with_access: bool,
    ) -> Result<(), String> {
        let answered: BTreeSet<&IssuedPair> =
            log.iter().filter(|it| has_arrived(it)).filter_map(|it| it.issued.as_ref()).collect();
        let is_held = |pair: &Pair| {
            record.held().any(|it| {
                let has_access = it.access.as_ref().is_some_and(|it| it.expose() == pair.access_token);
                it.refresh.as_ref().is_some_and(|it| it.expose() == pair.refresh_token) && (has_access || !with_access)
            })
        };
        for pair in honoured {
            let issued = IssuedPair::of(&pair.access_token, &pair.refresh_token);
            if (self.0.contains(&issued) || answered.contains(&issued)) && !is_held(pair) {
                return Err(format!("a pair of generation {} is honoured and was lost", pair.generation));
            }
        }
        Ok(())
    }
}

/// Nothing was spent twice, and nobody was leaned on.
pub(crate) fn check(log: &[LogEntry]) -> Result<(), String> {
    no_double_spend(log)?;
    within_the_budget(log)
}

/// A refresh token is never sent again once its successor arrived.
fn no_double_spend(log: &[LogEntry]) -> Result<(), String> {
    let mut spent: BTreeSet<&str> = BTreeSet::new();
    for entry in log {
        let Some(sent) = refresh_token(entry) else { continue };
        if spent.contains(sent) {
            return Err(format!("call {} spends a refresh token again: {}", entry.number, entry.outcome));
        }
        let is_rotated = entry.issued.as_ref().is_some_and(|it| it.refresh_token != sent);
        if is_rotated && has_arrived(entry) {
            spent.insert(sent);
        }
    }
    Ok(())
}

fn within_the_budget(log: &[LogEntry]) -> Result<(), String> {
    if MOST_CALLS < log.len() {
        return Err(format!("{} calls in all", log.len()));
    }
    let times: Vec<Timestamp> = log.iter().map(|it| it.at.parse().unwrap()).collect();
    if let Some(crowd) = times.windows(CALLS_A_WINDOW + 1).find(|it| it[CALLS_A_WINDOW].duration_since(it[0]) < WINDOW)
    {
        return Err(format!("more than {CALLS_A_WINDOW} calls in five minutes from {}", crowd[0]));
    }
    let refreshes: Vec<(Timestamp, &str)> =
        times.iter().zip(log).filter_map(|(at, entry)| Some((*at, refresh_token(entry)?))).collect();
    for (number, (at, sent)) in refreshes.iter().enumerate() {
        let since =
            |span: SignedDuration| refreshes[..=number].iter().filter(move |it| at.duration_since(it.0).abs() < span);
        if 2 < since(FIRST_PAUSE).filter(|it| it.1 == *sent).count() {
            return Err(format!("a refresh token is sent a third time without a pause at {at}"));
        }
        if REFRESHES_A_MINUTE < since(SignedDuration::from_mins(1)).count() {
            return Err(format!("more than {REFRESHES_A_MINUTE} refreshes a minute at {at}"));
        }
    }
    Ok(())
}

/// Whether the client got to see the answer.
fn has_arrived(entry: &LogEntry) -> bool {
    !entry.outcome.contains("fault")
}

/// The refresh token that a call spent.
fn refresh_token(entry: &LogEntry) -> Option<&str> {
    entry.secrets.iter().find(|it| it.0 == "refresh_token").map(|it| it.1.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "2029-03-01T10:00:00Z";

    /// A refresh that was answered: with this token, for that one, so many seconds after the start.
    fn refresh(sent: &str, successor: Option<&str>, outcome: &str, after: i64) -> LogEntry {
        let at = START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(after);
        let issued = successor.map(|it| IssuedPair { access_token: format!("a{it}"), refresh_token: it.to_owned() });
        LogEntry {
            number: 1,
            at: at.to_string(),
            region: 0,
            part: None,
            method: "POST".to_owned(),
            path: "/refresh_token".to_owned(),
            call: "refresh_token".to_owned(),
            account: Some(0),
            outcome: outcome.to_owned(),
            headers: Vec::new(),
            secrets: vec![("refresh_token", sent.to_owned())],
            issued,
            action: None,
        }
    }

    #[test]
    fn a_token_that_is_sent_after_its_successor_arrived_is_found() {
        let lost = refresh("r1", Some("r2"), "ok, then fault reply_lost_after_rotation", 0);
        let again = refresh("r1", Some("r2"), "ok, again within the grace", 1);
        assert_eq!(check(&[lost.clone(), again.clone()]), Ok(()));
        let too_often = [lost, again, refresh("r1", None, "refresh token was used before", 3600)];
        assert!(check(&too_often).is_err_and(|it| it.contains("again")));
        let kept = [refresh("r1", Some("r1"), "ok", 0), refresh("r1", Some("r1"), "ok", 3600)];
        assert_eq!(check(&kept), Ok(()), "it was not rotated");
    }

    #[test]
    fn hammering_is_found() {
        let thrice: Vec<_> = (0..3).map(|it| refresh("r1", None, "grant was revoked", it)).collect();
        assert!(check(&thrice).is_err_and(|it| it.contains("third time")));
        let many: Vec<_> = (0..4).map(|it| refresh(&format!("r{it}"), None, "grant was revoked", it * 15)).collect();
        assert!(check(&many).is_err_and(|it| it.contains("refreshes a minute")));
        let paced: Vec<_> = (0..10).map(|it| refresh("r1", None, "grant was revoked", it * 30)).collect();
        assert_eq!(check(&paced), Ok(()));
        let mut crowd: Vec<_> = (0..301).map(|it| refresh("r1", None, "ok", it / 2)).collect();
        crowd.iter_mut().for_each(|it| it.secrets.clear());
        assert!(check(&crowd).is_err_and(|it| it.contains("five minutes")));
    }

    #[test]
    fn a_pair_that_is_honoured_and_not_held_is_found() {
        let at: Timestamp = START.parse().unwrap();
        let pair = Pair {
            access_token: "a".to_owned(),
            refresh_token: "r".to_owned(),
            issued_at: at,
            access_expires_at: at,
            refresh_expires_at: None,
            generation: 2,
        };
        let (honoured, nothing) = ([pair], Record::default());
        let mut given = Given::default();
        assert_eq!(given.are_held(&[], &honoured, &nothing, true), Ok(()), "nobody gave it to Latchkey");
        given.by_user("a", "r");
        assert!(given.are_held(&[], &honoured, &nothing, true).is_err());
        let issued = Some(IssuedPair::of("a", "r"));
        let arrived = LogEntry { issued: issued.clone(), ..refresh("r1", None, "ok", 0) };
        let lost = LogEntry { issued, ..refresh("r1", None, "ok, then fault cut_body", 0) };
        let given = Given::default();
        assert!(given.are_held(&[arrived], &honoured, &nothing, true).is_err());
        assert_eq!(given.are_held(&[lost], &honoured, &nothing, true), Ok(()));
    }
}
