//! One position of one switch, and what is to come of it.

use std::{collections::BTreeMap, fmt};

use latchkey::account::{Code, Condition};
use serde_json::{Map, Value, json};

/// What an account goes through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Leg {
    /// A user gives the pair that the vendor handed out, and it is proved by a refresh.
    First,
    /// Asking what there is.
    List,
    /// A call with a live access token.
    Call,
    /// A call whose access token the vendor has ended.
    Rejected,
    /// A call that names a target which is not there.
    UnknownTarget,
    /// A refresh after Latchkey slept past the access token's life.
    Aged,
    /// A refresh whose reply is lost after the rotation.
    Lost,
    /// A login with a code that was not sent.
    WrongCode,
    /// A login with the code that was sent.
    Code,
    /// The same code again, later.
    EndedCode,
    WrongPassword,
    Password,
    /// A user signs in elsewhere and gives the access token with the auth token.
    CheckIn,
}

/// A position of a switch.
pub(crate) struct Case {
    pub(crate) knob: &'static str,
    pub(crate) position: Value,
    /// Others that have to be turned too for this one to show.
    beside: Vec<(&'static str, Value)>,
    /// What is turned only when the first refresh and its listing are over, which Latchkey does by itself.
    late: Vec<(&'static str, Value)>,
    pub(crate) place: Place,
    /// Where it differs from the usual.
    expected: BTreeMap<Leg, Seen>,
    last: Leg,
}

/// How Latchkey is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Right,
    /// The account lives in another region than the configured one.
    OtherRegion,
    /// The configured key is nobody's.
    UnknownKey,
    /// The configured key is another application's.
    OthersKey,
}

/// What a user sees of a leg, once its retries have come to their end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The code of an error, if it was one.
    pub(crate) reply: Option<Code>,
    pub(crate) condition: Condition,
    pub(crate) last_error: Option<Code>,
}

impl Case {
    pub(crate) fn new(knob: &'static str, position: impl Into<Value>) -> Self {
        Self {
            knob,
            position: position.into(),
            beside: Vec::new(),
            late: Vec::new(),
            place: Place::Right,
            expected: BTreeMap::new(),
            last: Leg::CheckIn,
        }
    }

    /// The usual is expected in each of these positions.
    pub(crate) fn each<const N: usize>(knob: &'static str, positions: [Value; N]) -> impl Iterator<Item = Self> {
        positions.into_iter().map(move |it| Self::new(knob, it))
    }

    pub(crate) fn beside(mut self, knob: &'static str, position: impl Into<Value>) -> Self {
        self.beside.push((knob, position.into()));
        self
    }

    pub(crate) fn later(mut self, knob: &'static str, position: impl Into<Value>) -> Self {
        self.late.push((knob, position.into()));
        self
    }

    pub(crate) fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub(crate) fn expect(mut self, leg: Leg, seen: Seen) -> Self {
        self.expected.insert(leg, seen);
        self
    }

    /// Nothing more is tried after this leg: no user could mend it.
    pub(crate) fn until(self, last: Leg) -> Self {
        Self { last, ..self }
    }

    /// Whether what was seen is right.
    pub(crate) fn verdict(&self, leg: Leg, seen: Seen, unknown_target: Code) -> Result<(), String> {
        let expected = self.expected(leg, unknown_target);
        if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
    }

    fn expected(&self, leg: Leg, unknown_target: Code) -> Seen {
        self.expected.get(&leg).copied().unwrap_or(match leg {
            Leg::Lost => DEAD_BY_LOSS,
            Leg::UnknownTarget => refused(unknown_target),
            Leg::WrongCode | Leg::EndedCode => refused(Code::WrongCode),
            Leg::WrongPassword => refused(Code::LoginRefused),
            _ => FINE,
        })
    }

    pub(crate) fn goes_through(&self, leg: Leg) -> bool {
        leg <= self.last
    }

    pub(crate) fn goes_on_after(&self, leg: Leg) -> bool {
        leg < self.last
    }

    /// The switches as they are at the start, on top of the usual ones.
    pub(crate) fn at_first(&self, usual: Value) -> Value {
        let is_late = self.late.iter().any(|it| it.0 == self.knob);
        let own = (!is_late).then(|| (self.knob, self.position.clone()));
        turned(usual, self.beside.iter().cloned().chain(own))
    }

    /// And as they are once the first refresh is over, if they are others then.
    pub(crate) fn later_on(&self, now: Value) -> Option<Value> {
        (!self.late.is_empty()).then(|| turned(now, self.late.iter().cloned()))
    }
}

fn turned(knobs: Value, by: impl Iterator<Item = (&'static str, Value)>) -> Value {
    let Value::Object(mut knobs) = knobs else { panic!("switches are an object") };
    for (knob, position) in by {
        let known = knobs.insert(knob.to_owned(), position);
        assert!(known.is_some(), "there is no switch {knob}");
    }
    Value::Object(knobs)
}

pub(crate) const FINE: Seen = Seen { reply: None, condition: Condition::Ok, last_error: None };

/// What was rotated away without a word is gone, and is called that.
pub(crate) const DEAD_BY_LOSS: Seen = dead(Code::ReplyLost, Code::ReplyLost);

/// Nothing came of it, and nothing else changed.
pub(crate) const fn refused(reply: Code) -> Seen {
    Seen { reply: Some(reply), ..FINE }
}

/// A person has to sign in again.
pub(crate) const fn dead(reply: Code, why: Code) -> Seen {
    Seen { reply: Some(reply), condition: Condition::ReauthRequired, last_error: Some(why) }
}

/// Fails where a switch is left out, or is not turned to all of its positions: of a number or a text two are enough.
pub(crate) fn assert_complete(cases: &[Case], usual: &Value, choices: &[(&str, Vec<Value>)]) {
    let known: Vec<&String> = usual.as_object().unwrap().keys().collect();
    let positions: BTreeMap<&str, Vec<&Value>> = cases.iter().fold(BTreeMap::new(), |mut by_knob, it| {
        by_knob.entry(it.knob).or_default().push(&it.position);
        by_knob
    });
    let mut missing = Map::new();
    for knob in known {
        let tried = positions.get(knob.as_str()).cloned().unwrap_or_default();
        let choices = choices.iter().find(|it| it.0 == knob).map(|it| it.1.clone());
        let wanted = match &usual[knob] {
            Value::Bool(_) => vec![json!(false), json!(true)],
            usual => choices.unwrap_or_else(|| vec![usual.clone()]),
        };
        let untried: Vec<Value> = wanted.into_iter().filter(|it| !tried.contains(&it)).collect();
        if !untried.is_empty() || tried.len() < 2 {
            missing.insert(knob.clone(), json!({ "untried": untried, "tried": tried }));
        }
    }
    assert!(missing.is_empty(), "switches without all of their cases: {missing:#?}");
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reply, condition, last_error } = self;
        match reply {
            None => write!(f, "ok, then {condition}")?,
            Some(code) => write!(f, "{code}, then {condition}")?,
        }
        last_error.map_or(Ok(()), |it| write!(f, " after {it}"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.knob, self.position)?;
        let others = self.beside.iter().chain(&self.late).filter(|it| it.0 != self.knob);
        others.into_iter().try_for_each(|(knob, position)| write!(f, ", {knob} = {position}"))
    }
}
