//! Every switch of the simulated Akuvox cloud. What is expected follows from protocol/akuvox.md; the paragraph is named
//! where it is not plain.

use latchkey::{
    account::{AccountId, Code, Condition, Secret},
    demo::clouds::{
        Cloud, Counters,
        akuvox::{Akuvox, AkuvoxCredentials, AkuvoxKnobs, devices},
    },
    keeper::Command,
};
use serde_json::{Value, json};

use crate::{
    case::{Case, DEAD_BY_LOSS, FINE, Leg, Place, Seen, dead, refused},
    side::Side,
};

impl Side for Akuvox {
    const LEGS: &'static [Leg] = &[
        Leg::First,
        Leg::Call,
        Leg::Rejected,
        Leg::UnknownTarget,
        Leg::Aged,
        Leg::Lost,
        Leg::WrongCode,
        Leg::Code,
        Leg::EndedCode,
        Leg::WrongPassword,
        Leg::Password,
        Leg::CheckIn,
    ];
    const KEEPS_ACCESS: bool = true;
    // It is not in the vendor's list.
    const UNKNOWN_TARGET: Code = Code::UnknownDoor;
    const AUTH_TOKEN: Option<fn(&AkuvoxCredentials) -> Secret> = Some(|it| Secret::new(&*it.auth_token));

    fn cases() -> Vec<Case> {
        [tokens(), refreshes(), refusals(), logins(), elsewhere()].into_iter().flatten().collect()
    }

    fn choices() -> Vec<(&'static str, Vec<Value>)> {
        vec![
            (
                "refresh_answer",
                words(&[
                    "documented",
                    "with_result",
                    "int_err_code",
                    "under_data",
                    "under_result",
                    "missing_refresh_token",
                ]),
            ),
            ("token_valid", words(&["text", "number", "zero", "missing", "absurd"])),
            ("servers_list_tokens", words(&["none", "same_token", "same_pair", "new_pair"])),
            ("account_type", words(&["community", "single"])),
            ("wrong_type_answer", words(&["empty", "refused", "hangs"])),
            ("date_format", words(&["day_first", "year_first", "month_first"])),
            ("door_log_v4_answer", words(&["bare", "under_list", "under_data"])),
        ]
    }

    fn account_lines(cloud: &Cloud<Self>, place: Place) -> String {
        let held = cloud.credentials(0);
        let region = usize::from(place == Place::OtherRegion);
        format!(
            "vendor = \"akuvox\"\ngate = {:?}\ndial_code = {:?}\nphone = {:?}\nuser = {:?}\ndoors = true\n",
            cloud.url_of(region, "gate"),
            held.dial_code,
            held.phone_number,
            held.login,
        )
    }

    fn pair(credentials: &AkuvoxCredentials) -> (String, String) {
        (credentials.token.clone(), credentials.refresh_token.clone())
    }

    fn password(credentials: &AkuvoxCredentials) -> Option<Secret> {
        Some(Secret::new(&*credentials.password))
    }

    fn act(account: AccountId, is_known: bool) -> Command {
        let device = &devices(0)[0];
        let door =
            if is_known { format!("{}/{}", device.mac, device.relays[0].id) } else { "0C1105FFFFFF/0".to_owned() };
        Command::OpenDoor { entry_id: account, door }
    }

    fn n_acts(counters: &Counters) -> u64 {
        counters.door_openings.values().sum()
    }

    fn token_lifetime_seconds(knobs: &AkuvoxKnobs) -> u64 {
        knobs.token_lifetime_seconds
    }
}

/// How long tokens live, and what ends them.
fn tokens() -> Vec<Case> {
    let mut cases = vec![
        // It ended while Latchkey slept; the access token, which could vouch for it, had ended too.
        Case::new("refresh_lifetime_seconds", 3 * 86_400).expect(Leg::Aged, GONE),
        Case::new("refresh_grace_seconds", 0),
        // The prompt second try gets the same successor.
        Case::new("refresh_grace_seconds", 60).expect(Leg::Lost, FINE),
        Case::new("access_grace_seconds", 0),
        // The cheap check still says yes, so the refusal counts only when that has ended, or when it has lasted for a day.
        Case::new("access_grace_seconds", 60).expect(Leg::Lost, DEAD_LATER),
        Case::new("access_grace_seconds", 604_800).expect(Leg::Lost, DEAD_LATER),
        // Whoever sleeps past the life has nothing left to refresh with (§4, end).
        // And where the vendor ends an access token early, both are dead before their time: as if somebody else signed in.
        Case::new("refresh_after_access_expiry", false)
            .expect(Leg::Aged, GONE)
            .expect(Leg::Rejected, dead(Code::SignedInElsewhere, Code::SignedInElsewhere)),
    ];
    cases.extend(Case::each("token_lifetime_seconds", [json!(604_800), json!(86_400), json!(3600)]));
    cases.extend(Case::each("refresh_lifetime_seconds", [json!(null), json!(30 * 86_400)]));
    cases.extend(Case::each("refresh_after_access_expiry", [json!(true)]));
    cases.extend(either("replay_revokes_family"));
    cases.extend(either("refresh_wants_matching_token"));
    cases.extend(Case::each("clock_ahead_seconds", [json!(0), json!(7200), json!(-7200)]));
    cases
}

/// What a refresh is answered.
fn refreshes() -> Vec<Case> {
    // The first try rotated, so the second one is too soon. The wait ends in a refusal.
    let too_soon = Seen { reply: Some(Code::Throttled), ..DEAD_BY_LOSS };
    let limited = |knob, position: i64| Case::new(knob, position).expect(Leg::Lost, too_soon);
    let mut cases = vec![
        Case::new("refresh_interval_seconds", 0),
        limited("refresh_interval_seconds", 3600),
        limited("throttled_status", 429).beside("refresh_interval_seconds", 3600),
        limited("throttled_status", 200).beside("refresh_interval_seconds", 3600),
    ];
    let [answers, lifetimes] = ["refresh_answer", "token_valid"].map(every);
    cases.extend(answers.into_iter().chain(lifetimes));
    cases.extend(either("require_vbell"));
    cases
}

/// What is refused in which words. Nothing follows from words, numbers or statuses that is not known.
fn refusals() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(Case::each("refusal_code", [json!("-1"), json!("10001"), json!("TOKEN_INVALID")]));
    cases.extend(Case::each("refusal_message", [json!("refresh token invalid"), json!("success"), json!("")]));
    cases.extend(Case::each("refusal_status", [json!(200), json!(401)]));
    cases.extend(Case::each("access_refusal_result", [json!(-1), json!(1), json!(20_001)]));
    cases.extend(Case::each(
        "access_refusal_message",
        [json!("token invalid"), json!("token expired"), json!("unauthorized"), json!("success")],
    ));
    // The tokens are laid aside and not thrown away; none are in use.
    let elsewhere = Seen { reply: Some(Code::RefreshRefused), condition: Condition::Missing, last_error: None };
    cases.extend(
        Case::each("wrong_region_message", [json!("token invalid"), json!("account does not exist")])
            .map(|it| it.at(Place::OtherRegion).expect(Leg::First, elsewhere).until(Leg::First)),
    );
    cases
}

/// Signing in.
fn logins() -> Vec<Case> {
    let mut cases = vec![
        Case::new("login_shifts_digits", true),
        // The form that is better supported does not open it (§3.4), and nothing else is tried with a password.
        Case::new("login_shifts_digits", false).expect(Leg::Password, refused(Code::LoginRefused)),
    ];
    cases.extend(Case::each("sms_code_lifetime_seconds", [json!(600), json!(60)]));
    cases.extend(Case::each("sms_interval_seconds", [json!(60), json!(0)]));
    cases.extend(Case::each("login_refusal_code", [json!("-1"), json!("10002")]));
    cases.extend(every("servers_list_tokens"));
    for knob in [
        "gate_sends_codes",
        "logins_bring_refresh_token",
        "login_refuses_encoded_at",
        "family_login_ends_owners",
        "servers_list_always_has_result",
        "rest_server_with_scheme",
    ] {
        cases.extend(either(knob));
    }
    cases
}

/// What Latchkey never looks at, or reads in any shape.
fn elsewhere() -> Vec<Case> {
    let mut cases = Vec::new();
    for knob in ["account_type", "wrong_type_answer", "date_format", "door_log_v4_answer"] {
        cases.extend(every(knob));
    }
    cases.extend(either("relay_ids_as_numbers"));
    cases.extend(either("has_door_log_v3"));
    cases.extend(Case::each("door_log_interval_seconds", [json!(15), json!(0)]));
    cases
}

const GONE: Seen = dead(Code::RefreshRefused, Code::RefreshRefused);
/// The reply tells of the refusal that came, and the end comes with its cause.
const DEAD_LATER: Seen = dead(Code::RefreshRefused, Code::ReplyLost);

fn either(knob: &'static str) -> impl Iterator<Item = Case> {
    Case::each(knob, [json!(false), json!(true)])
}

fn every(knob: &'static str) -> Vec<Case> {
    let choices = Akuvox::choices().into_iter().find(|it| it.0 == knob).unwrap().1;
    choices.into_iter().map(|it| Case::new(knob, it)).collect()
}

fn words(words: &[&str]) -> Vec<Value> {
    words.iter().map(|it| json!(it)).collect()
}
