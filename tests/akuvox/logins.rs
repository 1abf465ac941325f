//! Signing in: by a code, by a password, by what was kept of one, and by tokens that a user brought.

use std::time::Duration;

use latchkey::{
    account::{Class, Code, Secret},
    demo::clouds::{
        Fault, FaultKind, Scope, What,
        akuvox::{ServersListTokens, veil_password},
    },
    vendor::{SignIn, SignInKind, Vendor},
};

use super::bench::{Bench, answer};

/// The code that the cloud sent.
async fn code(bench: &Bench, vendor: &dyn Vendor) -> Secret {
    vendor.request_code().await.unwrap();
    Secret::new(bench.cloud.newest_code(0).unwrap())
}

#[tokio::test]
async fn a_code_by_sms_brings_both_tokens_and_the_auth_token() {
    let bench = Bench::new().await;
    let vendor = bench.vendor();
    let code = code(&bench, &*vendor).await;
    let answer = vendor.login(SignIn::Code(&code)).await.unwrap();
    let fresh = vendor.read_login(&answer, SignInKind::Code).unwrap();
    let held = bench.cloud.credentials(0);
    assert_eq!((fresh.access, fresh.refresh), (Some(Secret::new(held.token)), Some(Secret::new(held.refresh_token))));
    assert_eq!(fresh.access_lifetime, Some(Duration::from_secs(604_800)));
    assert_eq!(fresh.extras.auth_token, Some(Secret::new(held.auth_token)));
    assert_eq!((bench.cloud.counters().codes_sent, bench.cloud.counters().logins), (1, 1));
}

#[tokio::test]
async fn a_code_is_asked_for_at_the_rest_host_after_that_was_found() {
    let bench = Bench::new().await;
    bench.vendor().request_code().await.unwrap();
    let log: Vec<_> = bench.cloud.log().into_iter().map(|it| (it.call, it.part)).collect();
    assert_eq!(log, [("rest_server".into(), Some("gate")), ("send_mobile_checkcode".into(), Some("rest"))]);
}

#[tokio::test]
async fn a_family_member_signs_in_by_password_and_by_what_was_kept_of_it() {
    let bench = Bench::new().await;
    let vendor = bench.vendor();
    let password = Secret::new(bench.cloud.credentials(0).password);
    let kept = vendor.kept_form(&password).unwrap();
    assert_eq!(kept.expose(), veil_password(password.expose()), "nothing of the password itself");
    for with in [SignIn::Password(&password), SignIn::Kept(&kept)] {
        assert_eq!(with.kind(), SignInKind::Password);
        let answer = vendor.login(with).await.unwrap();
        let fresh = vendor.read_login(&answer, with.kind()).unwrap();
        let family = bench.cloud.account(0).family.unwrap();
        assert_eq!(fresh.access, Some(Secret::new(family.access_token)));
        assert_eq!(fresh.refresh, Some(Secret::new(family.refresh_token)));
        assert_eq!(fresh.extras.auth_token, None);
    }
    assert_eq!(bench.cloud.counters().logins, 2);
}

#[tokio::test]
async fn a_login_without_a_refresh_token_is_still_one() {
    let bench = Bench::new().await;
    bench.cloud.turn_knobs(|it| it.logins_bring_refresh_token = false);
    let vendor = bench.vendor();
    let code = code(&bench, &*vendor).await;
    let fresh = vendor.read_login(&vendor.login(SignIn::Code(&code)).await.unwrap(), SignInKind::Code).unwrap();
    assert_eq!((fresh.access, fresh.refresh), (Some(bench.token()), None));
}

#[tokio::test]
async fn a_wrong_code_and_a_wrong_password_are_told_as_what_they_are() {
    let bench = Bench::new().await;
    let vendor = bench.vendor();
    let right = code(&bench, &*vendor).await;
    for wrong in ["000", "not a code&area_code=1"] {
        let answer = vendor.login(SignIn::Code(&Secret::new(wrong))).await.unwrap();
        let refused = vendor.read_login(&answer, SignInKind::Code).unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Target, Code::WrongCode), "{wrong}");
    }
    let with_blanks = Secret::new(format!(" {} ", right.expose()));
    let answer = vendor.login(SignIn::Code(&with_blanks)).await.unwrap();
    vendor.read_login(&answer, SignInKind::Code).unwrap();
    let again = vendor.login(SignIn::Code(&right)).await.unwrap();
    assert_eq!(vendor.read_login(&again, SignInKind::Code).unwrap_err().code, Code::WrongCode, "a code works once");

    for refusal_code in ["-1", "1003", "password error"] {
        bench.cloud.turn_knobs(|it| it.login_refusal_code = refusal_code.to_owned());
        let answer = vendor.login(SignIn::Password(&Secret::new("wrong"))).await.unwrap();
        let refused = vendor.read_login(&answer, SignInKind::Password).unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Target, Code::LoginRefused), "{refusal_code}");
    }
}

#[tokio::test]
async fn a_number_that_the_cloud_does_not_know_gets_no_code() {
    let bench = Bench::new().await;
    let refused = bench.vendor_with("dial_code = \"44\"\nphone = \"7700999999\"\n").request_code().await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Target, Code::LoginRefused));
    assert_eq!(bench.cloud.counters().codes_sent, 0);
}

#[tokio::test]
async fn who_is_not_configured_cannot_sign_in_and_nobody_is_called() {
    let bench = Bench::new().await;
    let (nobody, secret) = (bench.vendor_with(""), Secret::new("secret"));
    let refused = [
        nobody.request_code().await.unwrap_err(),
        nobody.login(SignIn::Code(&secret)).await.unwrap_err(),
        nobody.login(SignIn::Password(&secret)).await.unwrap_err(),
        nobody.login(SignIn::Kept(&secret)).await.unwrap_err(),
    ];
    assert!(refused.iter().all(|it| it.code == Code::LoginNotSet && it.class == Class::Target), "{refused:?}");
    assert!(nobody.check_in(&bench.token(), None).await.is_none());
    assert_eq!(bench.n_calls(), 0);
}

#[tokio::test]
async fn a_login_whose_answer_is_lost_or_unreadable_is_no_refusal() {
    for (kind, class) in [
        (FaultKind::ReplyLostAfterRotation, Class::Ambiguous),
        (FaultKind::Http500, Class::Ambiguous),
        (FaultKind::Html, Class::Ambiguous),
        (FaultKind::TruncatedJson, Class::Ambiguous),
        (FaultKind::CutBody, Class::Ambiguous),
        (FaultKind::WrongTypes, Class::Protocol),
        (FaultKind::Throttled200, Class::Throttled { retry_after: None }),
    ] {
        let bench = Bench::new().await;
        let vendor = bench.vendor();
        let code = code(&bench, &*vendor).await;
        bench.cloud.inject(Fault::new(kind).on(Scope::Call("sms_login".into()), 1));
        let read = match vendor.login(SignIn::Code(&code)).await {
            Ok(answer) => vendor.read_login(&answer, SignInKind::Code),
            Err(error) => Err(error),
        };
        assert_eq!(read.unwrap_err().class, class, "{kind:?}");
    }
}

#[tokio::test]
async fn tokens_that_a_user_brought_are_shown_with_and_without_an_auth_token() {
    let bench = Bench::new().await;
    let vendor = bench.vendor();
    let known = bench.cloud.credentials(0);
    let auth_token = Secret::new(known.auth_token);
    for auth_token in [Some(&auth_token), None] {
        for tokens in [ServersListTokens::None, ServersListTokens::SameToken, ServersListTokens::NewPair] {
            bench.cloud.turn_knobs(|it| it.servers_list_tokens = tokens);
            let (token, before) = (bench.token(), bench.cloud.credentials(0).refresh_token);
            let answer = vendor.check_in(&token, auth_token).await.unwrap().unwrap();
            let fresh = vendor.read_check_in(&answer).unwrap();
            let now = bench.cloud.credentials(0);
            let (access, refresh) = match tokens {
                ServersListTokens::None => (None, None),
                ServersListTokens::NewPair => (Some(Secret::new(now.token)), Some(Secret::new(&*now.refresh_token))),
                _ => (Some(token), None),
            };
            assert_eq!((fresh.access, fresh.refresh), (access, refresh), "{tokens:?}");
            assert_eq!(now.refresh_token != before, tokens == ServersListTokens::NewPair);
        }
    }
}

#[tokio::test]
async fn tokens_that_the_cloud_does_not_take_are_rejected_when_they_are_shown() {
    let bench = Bench::new().await;
    let (vendor, token) = (bench.vendor(), bench.token());
    let wrong = Secret::new("another-auth-token");
    bench.cloud.revoke(0, What::Access);
    for auth_token in [None, Some(&wrong)] {
        let answer = vendor.check_in(&token, auth_token).await.unwrap().unwrap();
        let refused = vendor.read_check_in(&answer).unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::AccessRejected, Code::AccessRejected));
    }
    let noise = vendor.read_check_in(&answer("{}")).unwrap_err();
    assert_eq!(noise.class, Class::Ambiguous, "what is no answer says nothing of the token");
}
