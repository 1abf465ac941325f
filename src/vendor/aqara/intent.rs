//! The intents that Latchkey sends, and what a code means for each of them (protocol/aqara.md §5 and §7).

use crate::{
    account::{Class, Code},
    vendor::{Answer, VendorError},
};

/// What is asked of the one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    RequestCode,
    Login,
    Refresh,
    RunScene,
    ListPositions,
    ListScenes,
}

impl Intent {
    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequestCode => "config.auth.getAuthCode",
            Self::Login => "config.auth.getToken",
            Self::Refresh => "config.auth.refreshToken",
            Self::RunScene => "config.scene.run",
            Self::ListPositions => "query.position.info",
            Self::ListScenes => "query.scene.listByPositionId",
        }
    }

    /// Whether it signs in or refreshes: then it goes without an access token (protocol/aqara.md §3).
    pub(super) fn is_auth(self) -> bool {
        matches!(self, Self::RequestCode | Self::Login | Self::Refresh)
    }

    /// Whether it changes nothing, so that a lost answer hides nothing either.
    pub(super) fn is_query(self) -> bool {
        matches!(self, Self::ListPositions | Self::ListScenes)
    }

    /// What an answer with this code, which is not 0, means.
    pub(super) fn refused(self, code: i64, answer: &Answer) -> VendorError {
        let (class, word) = self.meaning(code, answer);
        VendorError::new(class, word).with_vendor_code(&code.to_string())
    }

    /// By the code and by what was asked, never by a text: those are in the caller's language, and quote tokens.
    fn meaning(self, code: i64, answer: &Answer) -> (Class, Code) {
        match code {
            106 | 107 | 301 | 305 | 2002 | 2008 | 2013 | 2022 | 9998 | 9999 => (Class::ConfigFault, Code::ConfigFault),
            // The application may not sign in at all. Of other intents it is this call that is not allowed.
            306 | 403 if self.is_auth() => (Class::ConfigFault, Code::ConfigFault),
            101..=103 | 105 => (Class::ClockSkew { vendor_ahead_by: answer.vendor_ahead_by }, Code::ClockSkew),
            429 | 817 => (Class::Throttled { retry_after: answer.retry_after }, Code::Throttled),
            100 | 104 | 500 | 501 | 1300 => (self.class_of_trouble(code), Code::VendorBusy),
            _ => match self {
                Self::Refresh => of_refresh(code),
                Self::Login if matches!(code, 811 | 816 | 820 | 2003) => (Class::Target, Code::WrongCode),
                Self::RequestCode | Self::Login => (Class::Target, Code::LoginRefused),
                Self::RunScene | Self::ListPositions | Self::ListScenes => of_call(code),
            },
        }
    }

    /// The vendor's own trouble may come before or after it did what it was asked.
    fn class_of_trouble(self, code: i64) -> Class {
        match self {
            Self::Refresh | Self::Login => Class::Ambiguous,
            Self::ListPositions | Self::ListScenes => Class::Transient,
            // Busy, or somebody else is at it: it was not begun.
            Self::RequestCode | Self::RunScene if matches!(code, 104 | 1300) => Class::Transient,
            Self::RequestCode | Self::RunScene => Class::Ambiguous,
        }
    }
}

fn of_refresh(code: i64) -> (Class, Code) {
    match code {
        2006 | 2009 | 2010 => (Class::GrantDead { expired: false }, Code::RefreshRefused),
        2007 => (Class::GrantDead { expired: true }, Code::RefreshTokenExpired),
        // What these mean for a refresh is not documented: only a lasting refusal counts.
        108 | 804 | 2004 | 2005 => (Class::Refused, Code::RefreshRefused),
        // Whatever else it is, it is no word about the token, however long it lasts.
        _ => (Class::Target, Code::RefreshRefused),
    }
}

fn of_call(code: i64) -> (Class, Code) {
    match code {
        108 | 109 | 804 | 2004 | 2005 => (Class::AccessRejected, Code::AccessRejected),
        _ => (Class::Target, Code::TargetRefused),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::account::Secret;

    const AUTH: [Intent; 3] = [Intent::RequestCode, Intent::Login, Intent::Refresh];
    const QUERIES: [Intent; 2] = [Intent::ListPositions, Intent::ListScenes];
    const CALLS: [Intent; 3] = [Intent::RunScene, Intent::ListPositions, Intent::ListScenes];
    const ALL: [Intent; 6] = [
        Intent::RequestCode,
        Intent::Login,
        Intent::Refresh,
        Intent::RunScene,
        Intent::ListPositions,
        Intent::ListScenes,
    ];

    const AHEAD: Option<SignedDuration> = Some(SignedDuration::from_hours(2));
    const WAIT: Option<Duration> = Some(Duration::from_secs(120));

    /// Every code of the table in protocol/aqara.md §7, in its order; 108 and the like stand in two rows.
    const ACCESS_BAD: &[i64] = &[108, 109, 804, 2004, 2005];
    const BAD_AUTH_CODE: &[i64] = &[811, 816, 820, 2003];
    const CONFIG_OR_SIGNATURE: &[i64] = &[106, 107, 2002, 2008, 2013, 2022, 305, 9998];
    const CLOCK_OR_PACKET: &[i64] = &[105, 101, 102, 103];
    const RATE_LIMITED: &[i64] = &[429, 817];
    const TRANSIENT: &[i64] = &[100, 104, 500, 501, 1300];
    const PERMISSION: &[i64] = &[403, 306, 603, 706, 707, 708, 709, 710, 755, 756, 2014];
    const TARGET: &[i64] = &[302, 303, 304, 716, 1202, 1203, 1205, 1221, 602, 612];
    const GRANT_DEAD: &[i64] = &[2006, 2007, 2009, 2010];
    /// What the owner typed or configured wrongly: account, its format, its type, its password.
    const LOGIN_INPUT: &[i64] = &[801, 802, 803, 805, 807, 810, 812];
    const UNKNOWN: &[i64] = &[31_337, -1, 1, 999, 2011, 2012, 2016, i64::MAX, i64::MIN];

    fn judged(intent: Intent, code: i64) -> (Class, Code) {
        let answer = Answer { vendor_ahead_by: AHEAD, retry_after: WAIT, ..Answer::of(Secret::new("{}")) };
        let failure = intent.refused(code, &answer);
        assert_eq!(failure.vendor_code, Some(code.to_string()));
        (failure.class, failure.code)
    }

    /// Whatever was asked, each of these codes means this.
    fn assert_all(intents: &[Intent], codes: &[i64], class: Class, word: Code) {
        for intent in intents {
            for code in codes {
                assert_eq!(judged(*intent, *code), (class, word), "{intent:?} {code}");
            }
        }
    }

    #[test]
    fn a_bad_access_token_is_one_for_calls_and_no_verdict_on_the_grant() {
        assert_all(&CALLS, ACCESS_BAD, Class::AccessRejected, Code::AccessRejected);
        assert_all(&[Intent::Refresh], &[108, 804, 2004, 2005], Class::Refused, Code::RefreshRefused);
        assert_all(&[Intent::Refresh], &[109], Class::Target, Code::RefreshRefused);
        assert_all(&[Intent::RequestCode, Intent::Login], ACCESS_BAD, Class::Target, Code::LoginRefused);
    }

    #[test]
    fn a_grant_dies_by_its_own_codes_and_of_a_refresh_only() {
        let dead = |expired| Class::GrantDead { expired };
        assert_all(&[Intent::Refresh], &[2006, 2009, 2010], dead(false), Code::RefreshRefused);
        assert_all(&[Intent::Refresh], &[2007], dead(true), Code::RefreshTokenExpired);
        assert_all(&CALLS, GRANT_DEAD, Class::Target, Code::TargetRefused);
        assert_all(&[Intent::RequestCode, Intent::Login], GRANT_DEAD, Class::Target, Code::LoginRefused);
        let others = [
            ACCESS_BAD,
            BAD_AUTH_CODE,
            CONFIG_OR_SIGNATURE,
            CLOCK_OR_PACKET,
            RATE_LIMITED,
            TRANSIENT,
            PERMISSION,
            TARGET,
            LOGIN_INPUT,
            UNKNOWN,
        ];
        for code in others.concat() {
            assert!(!matches!(judged(Intent::Refresh, code).0, Class::GrantDead { .. }), "{code}");
        }
    }

    #[test]
    fn a_bad_auth_code_is_the_users_input() {
        assert_all(&[Intent::Login], BAD_AUTH_CODE, Class::Target, Code::WrongCode);
        assert_all(&[Intent::RequestCode], BAD_AUTH_CODE, Class::Target, Code::LoginRefused);
        assert_all(&[Intent::Refresh], BAD_AUTH_CODE, Class::Target, Code::RefreshRefused);
        assert_all(&CALLS, BAD_AUTH_CODE, Class::Target, Code::TargetRefused);
    }

    #[test]
    fn an_account_that_cannot_sign_in_is_the_users_input() {
        assert_all(&[Intent::RequestCode, Intent::Login], LOGIN_INPUT, Class::Target, Code::LoginRefused);
        assert_all(&[Intent::Refresh], LOGIN_INPUT, Class::Target, Code::RefreshRefused);
        assert_all(&CALLS, LOGIN_INPUT, Class::Target, Code::TargetRefused);
    }

    #[test]
    fn keys_and_signature_are_a_fault_of_the_configuration_whatever_was_asked() {
        assert_all(&ALL, CONFIG_OR_SIGNATURE, Class::ConfigFault, Code::ConfigFault);
        assert_all(&ALL, &[301, 9999], Class::ConfigFault, Code::ConfigFault);
    }

    #[test]
    fn a_refused_time_or_packet_bears_the_measured_skew_whatever_was_asked() {
        assert_all(&ALL, CLOCK_OR_PACKET, Class::ClockSkew { vendor_ahead_by: AHEAD }, Code::ClockSkew);
    }

    #[test]
    fn too_many_calls_or_codes_are_throttled_with_the_wait_that_was_asked_for() {
        assert_all(&ALL, RATE_LIMITED, Class::Throttled { retry_after: WAIT }, Code::Throttled);
    }

    #[test]
    fn the_vendors_own_trouble_hides_an_outcome_only_where_there_is_one() {
        assert_all(&[Intent::Refresh, Intent::Login], TRANSIENT, Class::Ambiguous, Code::VendorBusy);
        assert_all(&QUERIES, TRANSIENT, Class::Transient, Code::VendorBusy);
        let acting = [Intent::RunScene, Intent::RequestCode];
        assert_all(&acting, &[104, 1300], Class::Transient, Code::VendorBusy);
        assert_all(&acting, &[100, 500, 501], Class::Ambiguous, Code::VendorBusy);
    }

    #[test]
    fn what_is_not_permitted_fails_the_call_alone_and_an_intent_that_is_not_open_the_whole_sign_in() {
        assert_all(&CALLS, PERMISSION, Class::Target, Code::TargetRefused);
        assert_all(&AUTH, &[403, 306], Class::ConfigFault, Code::ConfigFault);
        assert_all(&[Intent::Refresh], &PERMISSION[2..], Class::Target, Code::RefreshRefused);
        assert_all(&[Intent::RequestCode, Intent::Login], &PERMISSION[2..], Class::Target, Code::LoginRefused);
    }

    #[test]
    fn a_wrong_target_fails_the_call_alone() {
        assert_all(&CALLS, TARGET, Class::Target, Code::TargetRefused);
        assert_all(&[Intent::Refresh], TARGET, Class::Target, Code::RefreshRefused);
        assert_all(&[Intent::RequestCode, Intent::Login], TARGET, Class::Target, Code::LoginRefused);
    }

    #[test]
    fn an_unknown_code_fails_the_call_alone_whatever_was_asked() {
        for intent in ALL {
            for code in UNKNOWN {
                assert_eq!(judged(intent, *code).0, Class::Target, "{intent:?} {code}");
            }
        }
    }
}
