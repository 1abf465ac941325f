//! Signing in by a code.

use std::{sync::Arc, time::Duration};

use latchkey::{
    account::{Class, Code, FreshTokens, Secret},
    demo::clouds::{AqaraCloud, Fault, FaultKind, Scope},
    vendor::{SignIn, SignInKind, Vendor, VendorError},
};

use crate::vendor::{App, login_of};

const DAY: Duration = Duration::from_secs(86_400);

async fn cloud_and_vendor(more: &str) -> (AqaraCloud, Arc<dyn Vendor>) {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let vendor = App::of(&cloud, &format!("{}\n{more}", login_of(&cloud, 0))).connect(cloud.clock().clone());
    (cloud, vendor)
}

async fn sign_in(vendor: &dyn Vendor, code: &str) -> Result<FreshTokens, VendorError> {
    let code = Secret::new(code);
    vendor.read_login(&vendor.login(SignIn::Code(&code)).await?, SignInKind::Code)
}

async fn sign_in_by_new_code(cloud: &AqaraCloud, vendor: &dyn Vendor) -> FreshTokens {
    vendor.request_code().await.unwrap();
    sign_in(vendor, &cloud.newest_code(0).unwrap()).await.unwrap()
}

fn classed(result: Result<FreshTokens, VendorError>) -> (Class, Code) {
    let failure = result.unwrap_err();
    (failure.class, failure.code)
}

#[tokio::test]
async fn a_code_is_sent_to_the_configured_account_and_redeemed_for_a_pair_with_its_owner() {
    for is_number in [false, true] {
        let (cloud, vendor) = cloud_and_vendor("").await;
        cloud.turn_knobs(|it| it.expires_in_as_number = is_number);
        let fresh = sign_in_by_new_code(&cloud, &*vendor).await;
        let held = cloud.credentials(0);
        assert_eq!(cloud.messages()[0].to, held.account);
        assert_eq!(fresh.access, Some(Secret::new(held.access_token)));
        assert_eq!(fresh.refresh, Some(Secret::new(held.refresh_token)));
        assert_eq!((fresh.access_lifetime, fresh.refresh_outlives_access), (Some(7 * DAY), Some(30 * DAY)));
        assert_eq!(fresh.extras.open_id, Some(held.open_id));
        assert_eq!((cloud.counters().codes_sent, cloud.counters().logins), (1, 1));
    }
}

#[tokio::test]
async fn a_login_lasts_as_long_as_was_chosen_for_it() {
    for (validity, lifetime) in [("1h", DAY / 24), ("30d", 30 * DAY), ("1y", 365 * DAY)] {
        let (cloud, vendor) = cloud_and_vendor(&format!("access_token_validity = \"{validity}\"")).await;
        assert_eq!(sign_in_by_new_code(&cloud, &*vendor).await.access_lifetime, Some(lifetime), "{validity}");
        assert_eq!(vendor.rules().usual_lifetime, lifetime.min(7 * DAY));
    }
}

#[tokio::test]
async fn a_code_that_the_answer_bears_is_asked_for_all_the_same() {
    let (cloud, vendor) = cloud_and_vendor("").await;
    cloud.turn_knobs(|it| it.auth_code_in_reply = true);
    sign_in_by_new_code(&cloud, &*vendor).await;
}

#[tokio::test]
async fn a_project_signs_in_by_its_code_alone() {
    let (cloud, vendor) = cloud_and_vendor("account_type = 1").await;
    sign_in_by_new_code(&cloud, &*vendor).await;
    let (cloud, vendor) = cloud_and_vendor("").await;
    vendor.request_code().await.unwrap();
    let nameless = App::of(&cloud, "account_type = 1").connect(cloud.clock().clone());
    assert!(sign_in(&*nameless, &cloud.newest_code(0).unwrap()).await.is_ok());
}

#[tokio::test]
async fn nobody_is_asked_where_it_is_not_configured_who_signs_in() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let vendor = App::of(&cloud, "").connect(cloud.clock().clone());
    let unset = (Class::Target, Code::LoginNotSet);
    let failure = vendor.request_code().await.unwrap_err();
    assert_eq!((failure.class, failure.code), unset);
    assert_eq!(classed(sign_in(&*vendor, "123456").await), unset);
    assert_eq!(cloud.counters().calls, 0);
}

#[tokio::test]
async fn there_is_no_login_by_password() {
    let (cloud, vendor) = cloud_and_vendor("").await;
    let password = Secret::new("opensesame");
    assert_eq!(vendor.kept_form(&password), None);
    for with in [SignIn::Password(&password), SignIn::Kept(&password)] {
        assert_eq!(vendor.login(with).await.unwrap_err().code, Code::NotSupported);
    }
    assert_eq!(cloud.counters().calls, 0);
}

#[tokio::test]
async fn a_code_that_is_wrong_used_or_too_old_is_told_as_one_whatever_its_number() {
    for number in [811, 816, 820, 2003] {
        let (cloud, vendor) = cloud_and_vendor("").await;
        cloud.turn_knobs(|it| it.wrong_auth_code_code = number);
        let wrong = (Class::Target, Code::WrongCode);
        assert_eq!(classed(sign_in(&*vendor, "not-a-code").await), wrong, "{number}");
        sign_in_by_new_code(&cloud, &*vendor).await;
        assert_eq!(classed(sign_in(&*vendor, &cloud.newest_code(0).unwrap()).await), wrong, "{number}");
        cloud.advance(Duration::from_secs(60));
        vendor.request_code().await.unwrap();
        cloud.advance(Duration::from_secs(600));
        assert_eq!(classed(sign_in(&*vendor, &cloud.newest_code(0).unwrap()).await), wrong, "{number}");
    }
}

#[tokio::test]
async fn codes_that_are_asked_for_too_often_are_throttled() {
    let (cloud, vendor) = cloud_and_vendor("").await;
    vendor.request_code().await.unwrap();
    let failure = vendor.request_code().await.unwrap_err();
    assert_eq!((failure.class, failure.code), (Class::Throttled { retry_after: None }, Code::Throttled));
    assert_eq!(failure.vendor_code.as_deref(), Some("817"));
    cloud.advance(Duration::from_secs(60));
    vendor.request_code().await.unwrap();
}

#[tokio::test]
async fn an_account_that_aqara_does_not_know_is_the_users_input() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let vendor = App::of(&cloud, "login = \"nobody@example.com\"").connect(cloud.clock().clone());
    let failure = vendor.request_code().await.unwrap_err();
    assert_eq!((failure.class, failure.code), (Class::Target, Code::LoginRefused));
    assert!(!format!("{failure}{failure:?}").contains("nobody"));
    for code in [801, 807, 812, 31_337] {
        let fault = Fault { code: Some(code), ..Fault::new(FaultKind::VendorBusy) };
        cloud.inject(fault.on(Scope::Any, 1));
        assert_eq!(classed(sign_in(&*vendor, "123456").await), (Class::Target, Code::LoginRefused), "{code}");
    }
}

#[tokio::test]
async fn a_login_whose_answer_was_lost_is_not_repeated_and_its_outcome_is_open() {
    for kind in [FaultKind::ReplyLostAfterRotation, FaultKind::CutBody, FaultKind::TruncatedJson, FaultKind::Http500] {
        let (cloud, vendor) = cloud_and_vendor("").await;
        vendor.request_code().await.unwrap();
        cloud.inject(Fault::new(kind).on(Scope::Call("config.auth.getToken".to_owned()), 1).after());
        let failure = sign_in(&*vendor, &cloud.newest_code(0).unwrap()).await.unwrap_err();
        assert_eq!(failure.class, Class::Ambiguous, "{kind:?}");
        assert_eq!(cloud.counters().calls_by_name["config.auth.getToken"], 1);
    }
}
