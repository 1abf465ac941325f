//! Why an account needs a person, and what that person is to do.

use crate::{
    account::{Code, Condition, Status},
    keeper::CommandError,
};

/// The way in that needs no tokens.
const BY_CODE: &str = "Request a login code, and give the code that arrives as Login code.";

/// A sentence or two of at most 255 bytes, which is what a state of Home Assistant holds; none where nobody is needed.
///
/// `logs_in_by_code`: whether somebody is configured who gets login codes.
pub fn advice(status: &Status, logs_in_by_code: bool) -> Option<String> {
    let code = Some(status).filter(|it| it.problem).and_then(reason)?;
    let CommandError { message, hint, .. } = CommandError::new(code, "");
    // Whom it is about stands before the colon: it is the device that this is shown at.
    let why = capitalised(message.trim_start_matches(": "));
    let mend = match code {
        Code::NoRefreshToken | Code::RefreshRefused | Code::RefreshTokenExpired | Code::ReplyLost
            if logs_in_by_code =>
        {
            BY_CODE.to_owned()
        }
        Code::SignedInElsewhere if logs_in_by_code => {
            format!("{BY_CODE} A login of Latchkey's own keeps it from happening again.")
        }
        _ => hint,
    };
    Some(format!("{why}. {mend}"))
}

fn reason(status: &Status) -> Option<Code> {
    let last = status.last_error;
    Some(match status.condition {
        Condition::Missing => Code::NoRefreshToken,
        Condition::Blocked => Code::Blocked,
        Condition::InDoubt => Code::UnreadableAnswer,
        // What was tried since, in vain, is not why.
        Condition::ReauthRequired => last.filter(|it| ends_a_login(*it)).unwrap_or(Code::RefreshRefused),
        Condition::ConfigFault => last.filter(|it| *it == Code::TokenInUse).unwrap_or(Code::ConfigFault),
        Condition::Expired => last.unwrap_or(Code::Unreachable),
        Condition::Ok | Condition::Expiring => return None,
    })
}

fn ends_a_login(code: Code) -> bool {
    matches!(
        code,
        Code::RefreshRefused
            | Code::RefreshTokenExpired
            | Code::ReplyLost
            | Code::SignedInElsewhere
            | Code::TokenRequired
    )
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
