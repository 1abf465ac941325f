use std::time::Duration;

use latchkey::demo::clouds::{
    AkuvoxCloud,
    akuvox::{AccountType, DateFormat, RTSP_PASSWORD, SIP_PASSWORD, WrongTypeAnswer, devices},
};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::http::{client, send};

const KEYS: &str = "tempKey/getPersonalTempKeyList?row=20&page=1";
/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

const LOG: &str = "log/getDoorLog?row=5";

fn get(cloud: &AkuvoxCloud, account_type: &str, call: &str, token: &str) -> RequestBuilder {
    let url = format!("{}/web-server/v3/app/{account_type}/{call}", cloud.web_url());
    client().get(url).header("x-auth-token", token).header("x-cloud-version", "6.4").header("x-cloud-lang", "en")
}

async fn open_door(cloud: &AkuvoxCloud, token: &str, body: String) -> Value {
    let request = client().post(format!("{}/opendoor?token={token}", cloud.rest_url()));
    let request = request.header("x-auth-token", token).header("api-version", "4.3");
    send(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await.1
}

#[tokio::test]
async fn temporary_keys_are_listed_to_the_holder_of_a_live_token() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let (_, answer) = send(get(&cloud, "community", KEYS, &token)).await;
    assert_eq!(answer["code"], 0);
    assert_eq!(answer["data"][0]["Description"], "Cleaner ");
    assert_eq!(answer["data"][0]["Doors"][0]["MAC"], devices(0)[0].mac);

    let (status, answer) = send(get(&cloud, "community", KEYS, "another")).await;
    let refused = json!({ "code": 2, "msg": "Invalid identity information! Please login again." });
    assert_eq!((status, answer), (StatusCode::OK, refused));
    let bare = client().get(format!("{}/web-server/v3/app/community/{KEYS}", cloud.web_url()));
    assert_eq!(send(bare.header("x-auth-token", &token)).await.1["code"], 1);
}

#[tokio::test]
async fn the_other_account_type_gets_an_empty_list_a_refusal_or_nothing_at_all() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let (_, answer) = send(get(&cloud, "single", KEYS, &token)).await;
    assert_eq!((&answer["code"], &answer["data"]), (&json!(0), &json!([])));
    cloud.turn_knobs(|it| it.wrong_type_answer = WrongTypeAnswer::Refused);
    assert_eq!(send(get(&cloud, "single", KEYS, &token)).await.1["code"], 1);

    cloud.turn_knobs(|it| it.wrong_type_answer = WrongTypeAnswer::Hangs);
    let hanging = tokio::spawn(get(&cloud, "single", KEYS, &token).send());
    tokio::time::timeout(DEADLINE, cloud.wait_for(|it| it.calls == 3)).await.unwrap();
    cloud.turn_knobs(|it| it.account_type = AccountType::Single);
    assert_ne!(send(get(&cloud, "single", KEYS, &token)).await.1["data"], json!([]), "now it is the right one");
    assert!(!hanging.is_finished());
    hanging.abort();
}

#[tokio::test]
async fn openings_are_logged_with_dates_of_the_region_and_pictures_that_come_late() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let mac = devices(0)[0].mac.clone();
    open_door(&cloud, &token, format!("mac={mac}&relay=0")).await;
    open_door(&cloud, &token, format!("mac={mac}&site=6000000000&security_relay=1&trace_id=7")).await;

    let (_, answer) = send(get(&cloud, "community", LOG, &token)).await;
    let newest = &answer["data"][0];
    assert_eq!((&newest["RelayName"], &newest["Location"]), (&json!("Haustür"), &json!("Front gate ")));
    assert_eq!((&newest["PicUrl"], &answer["data"][1]["Relay"]), (&json!(""), &json!("0")));

    for (format, separator_at) in [(DateFormat::DayFirst, 2), (DateFormat::YearFirst, 4), (DateFormat::MonthFirst, 2)] {
        cloud.turn_knobs(|it| it.date_format = format);
        cloud.advance(Duration::from_secs(15));
        let (_, answer) = send(get(&cloud, "community", LOG, &token)).await;
        let newest = &answer["data"][0];
        assert_eq!(newest["CaptureTime"].as_str().unwrap().find('-'), Some(separator_at), "{format:?}");
        assert_ne!(newest["PicUrl"], "");
    }
}

#[tokio::test]
async fn the_door_log_is_not_to_be_read_too_often() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let read = async || send(get(&cloud, "community", LOG, &token)).await;
    assert_eq!(read().await.1["code"], 0);
    let too_often = json!({ "error_msg": "Requesting too frequently" });
    assert_eq!(read().await, (StatusCode::TOO_MANY_REQUESTS, too_often.clone()));
    cloud.turn_knobs(|it| it.throttled_status = 200);
    assert_eq!(read().await, (StatusCode::OK, too_often));
    assert_eq!(cloud.counters().throttled, 2);
    cloud.advance(Duration::from_secs(15));
    assert_eq!(read().await.1["code"], 0);
}

#[tokio::test]
async fn the_user_configuration_bears_passwords_that_clients_must_drop_and_ids_of_either_type() {
    let cloud = AkuvoxCloud::start_default().await.unwrap();
    let token = cloud.credentials(0).token;
    let read = async || {
        let url = format!("{}/userconf?token={token}", cloud.rest_url());
        send(client().post(url).header("api-version", "6.5").header("x-auth-token", &token)).await.1
    };
    let answer = read().await;
    assert_eq!(answer["datas"]["app_conf"]["sip_passwd"], SIP_PASSWORD);
    assert_eq!(answer["datas"]["dev_list"][0]["rtsp_pwd"], RTSP_PASSWORD);
    assert_eq!(answer["datas"]["dev_list"][1]["relay"][0]["relay_id"], "0");
    cloud.turn_knobs(|it| it.relay_ids_as_numbers = true);
    assert_eq!(read().await["datas"]["dev_list"][1]["relay"][0]["relay_id"], 0);
}
