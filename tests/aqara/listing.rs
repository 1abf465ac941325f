//! The scenes of an account: all of them, each once, and never at the cost of the budget.

use std::{collections::BTreeMap, sync::Arc};

use latchkey::{
    account::{Class, Code, Inventory, Secret},
    clock::Clock,
    demo::clouds::{AqaraCloud, Fault, FaultKind, Scope, aqara::scenes},
    vendor::{Vendor, VendorError},
};
use serde_json::{Value, json};

use crate::{
    stand_in::{Call, Says, StandIn},
    vendor::{App, Room},
};

const POSITIONS: &str = "query.position.info";
const SCENES: &str = "query.scene.listByPositionId";

/// A house of positions (by their parents) and scenes (by their positions).
#[derive(Default)]
struct House {
    positions: BTreeMap<String, Vec<String>>,
    scenes: BTreeMap<String, Vec<String>>,
}

impl House {
    fn with(positions: &[(&str, &[&str])], scenes: &[(&str, &[&str])]) -> Self {
        let owned = |lists: &[(&str, &[&str])]| {
            lists
                .iter()
                .map(|(key, ids)| ((*key).to_owned(), ids.iter().map(|it| (*it).to_owned()).collect()))
                .collect()
        };
        Self { positions: owned(positions), scenes: owned(scenes) }
    }

    /// A single position with scenes from `AL.0` up.
    fn of_scenes(n_scenes: usize) -> Self {
        let scenes = (0..n_scenes).map(|it| format!("AL.{it}")).collect();
        Self { scenes: [("real1.1".to_owned(), scenes)].into(), ..Self::with(&[("", &["real1.1"])], &[]) }
    }

    /// The page that is asked for, and how many there are in all.
    fn page(&self, call: &Call) -> (Vec<Value>, usize) {
        let is_scenes = call.intent == SCENES;
        let (lists, of) = if is_scenes { (&self.scenes, "positionId") } else { (&self.positions, "parentPositionId") };
        let all = lists.get(call.data[of].as_str().unwrap()).cloned().unwrap_or_default();
        let (number, size) = (call.data["pageNum"].as_u64().unwrap(), call.data["pageSize"].as_u64().unwrap());
        let skipped = usize::try_from((number - 1) * size).unwrap();
        let shown = all.iter().skip(skipped).take(usize::try_from(size).unwrap());
        let id_key = if is_scenes { "sceneId" } else { "positionId" };
        (shown.map(|it| json!({ id_key: it, "name": format!("Scene {it}") })).collect(), all.len())
    }

    fn says(&self, call: &Call) -> Says {
        let (data, total) = self.page(call);
        Says::result(&json!({ "data": data, "totalCount": total }))
    }
}

async fn list(vendor: &dyn Vendor, room: &Room) -> Result<Inventory, VendorError> {
    vendor.inventory(&Secret::new("0123456789abcdef0123456789abcdef"), room).await
}

/// Lists at a server that answers so, with room for every call; gives the ids of the scenes, too.
async fn listed(says: impl Fn(&Call) -> Says + Send + Sync + 'static) -> (Result<Vec<String>, VendorError>, Vec<Call>) {
    let far = StandIn::start(says).await;
    let vendor = App::at(&far.url).connect(Clock::system());
    let room = Room::of(1000);
    let inventory = list(&*vendor, &room).await;
    let calls = far.calls();
    assert_eq!(1000 - room.left(), calls.len(), "each call is paid for");
    (inventory.map(|it| it.scenes.into_iter().map(|it| it.id).collect()), calls)
}

fn ids(n_scenes: usize) -> Vec<String> {
    (0..n_scenes).map(|it| format!("AL.{it}")).collect()
}

#[tokio::test]
async fn all_scenes_of_the_simulated_cloud_are_listed_by_name_each_once_and_each_call_is_paid() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let vendor = App::of(&cloud, "").connect(cloud.clock().clone());
    let room = Room::of(100);
    let inventory = vendor.inventory(&Secret::new(cloud.credentials(0).access_token), &room).await.unwrap();
    let mut shown: Vec<_> = inventory.scenes.iter().map(|it| (it.id.clone(), it.name.clone())).collect();
    shown.sort();
    let expected: Vec<_> = scenes(0).into_iter().map(|it| (it.id, it.name.trim().to_owned())).collect();
    assert_eq!(shown, expected);
    assert!(inventory.scenes.iter().all(|it| it.key == it.id.to_lowercase().replace('.', "_")));
    assert_eq!(inventory.doors, []);
    assert_eq!(cloud.counters().calls, 100 - room.left() as u64);
    // The top level, and for each of three positions its scenes and its children.
    assert_eq!(cloud.counters().calls, 7);
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    for n_scenes in [0, 1, 49, 50, 51, 100, 120, 700] {
        let house = House::of_scenes(n_scenes);
        let (found, calls) = listed(move |call| house.says(call)).await;
        assert_eq!(found.unwrap(), ids(n_scenes));
        assert!(calls.len() <= 4 + n_scenes / 50, "{n_scenes}: {}", calls.len());
    }
}

#[tokio::test]
async fn a_total_that_lies_loses_nothing_and_ends() {
    for total in [json!(0), json!(1), json!(60), json!(1_000_000), json!("120"), json!("many"), json!(-1), Value::Null]
    {
        let house = House::of_scenes(120);
        let says = move |call: &Call| Says::result(&json!({ "data": house.page(call).0, "totalCount": total }));
        let (found, calls) = listed(says).await;
        assert_eq!(found.unwrap(), ids(120));
        // Where more is promised, one empty page for each of three lists.
        assert!(calls.len() <= 5 + 3, "{}", calls.len());
    }
}

#[tokio::test]
async fn a_cloud_that_sends_shorter_pages_than_asked_is_read_to_the_end() {
    let house = House::of_scenes(45);
    let says = move |call: &Call| {
        let number = usize::try_from(call.data["pageNum"].as_u64().unwrap()).unwrap();
        let short = Call { data: call.data.clone(), ..call.clone() };
        let all: Vec<Value> = house.page(&Call { data: with_first_page(&short.data), ..short }).0;
        let total = all.len();
        let data: Vec<Value> = all.into_iter().skip((number - 1) * 20).take(20).collect();
        Says::result(&json!({ "data": data, "totalCount": total }))
    };
    assert_eq!(listed(says).await.0.unwrap(), ids(45));
}

fn with_first_page(data: &Value) -> Value {
    let mut data = data.clone();
    data["pageNum"] = json!(1);
    data
}

#[tokio::test]
async fn a_cloud_that_repeats_its_first_page_is_not_asked_for_ever() {
    let house = House::of_scenes(50);
    let says = move |call: &Call| {
        let first = Call { data: with_first_page(&call.data), ..call.clone() };
        Says::result(&json!({ "data": house.page(&first).0, "totalCount": 5000 }))
    };
    let (found, calls) = listed(says).await;
    assert_eq!(found.unwrap(), ids(50));
    assert!(calls.len() <= 6, "{}", calls.len());
}

#[tokio::test]
async fn a_list_without_end_ends() {
    let (found, calls) = listed(|call| {
        let number = call.data["pageNum"].as_u64().unwrap();
        match (call.intent.as_str(), call.data["parentPositionId"].as_str()) {
            (POSITIONS, Some("")) => Says::result(&json!({ "data": [{ "positionId": "real1.1" }], "totalCount": 1 })),
            (POSITIONS, _) => Says::result(&json!({ "data": [], "totalCount": 0 })),
            _ => Says::result(&json!({ "data": [{ "sceneId": format!("AL.{number}") }], "totalCount": 1_000_000 })),
        }
    })
    .await;
    assert_eq!((found.unwrap().len(), calls.len()), (20, 22));
}

#[tokio::test]
async fn positions_without_end_do_not_eat_the_budget_and_what_was_found_is_shown() {
    // Each position has ever new ones below it, and a scene of its own.
    let (found, calls) = listed(|call| match call.intent.as_str() {
        POSITIONS => {
            let below = |it| json!({ "positionId": format!("real2.{}-{it}", call.number) });
            Says::result(&json!({ "data": (0..5).map(below).collect::<Vec<_>>(), "totalCount": 5 }))
        }
        _ => Says::result(&json!({ "data": [{ "sceneId": format!("AL.{}", call.number) }], "totalCount": 1 })),
    })
    .await;
    assert_eq!(calls.len(), 100);
    assert!(40 < found.unwrap().len());
}

#[tokio::test]
async fn positions_are_followed_ten_levels_down_and_no_further() {
    let (found, calls) = listed(|call| match call.data["parentPositionId"].as_str() {
        Some(parent) => Says::result(&json!({ "data": [{ "positionId": format!("{parent}x") }], "totalCount": 1 })),
        None => {
            let depth = call.data["positionId"].as_str().unwrap().len();
            Says::result(&json!({ "data": [{ "sceneId": format!("AL.{depth}") }], "totalCount": 1 }))
        }
    })
    .await;
    assert_eq!(found.unwrap(), (1..=10).map(|it| format!("AL.{it}")).collect::<Vec<_>>());
    assert_eq!(calls.len(), 20);
}

#[tokio::test]
async fn positions_that_hold_each_other_are_looked_into_once() {
    let house = House::with(
        &[("", &["a", "a"]), ("a", &["b", "a"]), ("b", &["a", "b"])],
        &[("a", &["AL.0"]), ("b", &["AL.1"])],
    );
    let (found, calls) = listed(move |call| house.says(call)).await;
    assert_eq!((found.unwrap(), calls.len()), (ids(2), 5));
}

#[tokio::test]
async fn a_scene_in_two_positions_counts_once() {
    let house = House::with(&[("", &["a", "b"])], &[("a", &["AL.0", "AL.1", "AL.0"]), ("b", &["AL.1", "AL.2"])]);
    assert_eq!(listed(move |call| house.says(call)).await.0.unwrap(), ids(3));
}

#[tokio::test]
async fn an_account_without_positions_has_no_scenes() {
    for nothing in [json!(""), json!(null), json!({ "data": [], "totalCount": 0 }), json!({})] {
        let (found, calls) = listed(move |_| Says::result(&nothing)).await;
        assert_eq!((found.unwrap(), calls.len()), (Vec::<String>::new(), 1));
    }
    assert_eq!(listed(|_| Says::code(2011)).await.0.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_position_that_may_not_be_looked_into_is_left_out_and_the_others_are_listed() {
    for code in [403, 306, 706, 708, 710, 755, 756, 2014, 603, 701, 302, 31_337] {
        let house = Arc::new(House::with(
            &[("", &["a", "b"]), ("a", &["c"])],
            &[("a", &["AL.9"]), ("b", &["AL.0"]), ("c", &["AL.1"])],
        ));
        let refusing = house.clone();
        let says = move |call: &Call| {
            if call.data["positionId"] == "a" { Says::code(code) } else { refusing.says(call) }
        };
        assert_eq!(listed(says).await.0.unwrap(), ids(2), "{code}: what is below it is another call");
        let says = move |call: &Call| {
            if call.data["parentPositionId"] == "a" { Says::code(code) } else { house.says(call) }
        };
        assert_eq!(listed(says).await.0.unwrap(), ["AL.9", "AL.0"], "{code}");
    }
}

#[tokio::test]
async fn where_no_position_may_be_looked_into_it_is_an_error_and_no_empty_house() {
    let house = Arc::new(House::with(&[("", &["a", "b"])], &[("a", &["AL.0"])]));
    for refused in [POSITIONS, SCENES] {
        let house = house.clone();
        let says = move |call: &Call| if call.intent == refused { Says::code(403) } else { house.says(call) };
        let failure = listed(says).await.0.unwrap_err();
        assert_eq!((failure.class, failure.code), (Class::Target, Code::TargetRefused), "{refused}");
        assert_eq!(failure.vendor_code.as_deref(), Some("403"));
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_call_and_not_with_the_position_ends_the_listing_at_once() {
    for (code, class) in [
        (108, Class::AccessRejected),
        (109, Class::AccessRejected),
        (2005, Class::AccessRejected),
        (106, Class::ConfigFault),
        (429, Class::Throttled { retry_after: None }),
        (104, Class::Transient),
        (500, Class::Transient),
    ] {
        let house = House::with(&[("", &["a", "b"])], &[("a", &["AL.0"]), ("b", &["AL.1"])]);
        let says = move |call: &Call| {
            if call.data["positionId"] == "a" { Says::code(code) } else { house.says(call) }
        };
        let (found, calls) = listed(says).await;
        assert_eq!((found.unwrap_err().class, calls.len()), (class, 2), "{code}");
    }
}

#[tokio::test]
async fn a_query_without_a_usable_answer_did_nothing_and_may_be_tried_again() {
    let page = "<!doctype html><title>Back in a moment</title>";
    for says in
        [Says::text(page), Says::text("{\"code\":0,\"res"), Says::text(""), Says::result(&json!("")).with_status(502)]
    {
        let failure = listed(move |_| says.clone()).await.0.unwrap_err();
        assert_eq!((failure.class, failure.code), (Class::Transient, Code::VendorBusy));
    }
    let cloud = AqaraCloud::start_default().await.unwrap();
    let vendor = App::of(&cloud, "").connect(cloud.clock().clone());
    let access = Secret::new(cloud.credentials(0).access_token);
    for kind in [FaultKind::ReplyLostAfterRotation, FaultKind::CutBody, FaultKind::ResetBefore] {
        cloud.inject(Fault::new(kind).on(Scope::Call(SCENES.to_owned()), 1));
        assert_eq!(vendor.inventory(&access, &Room::of(100)).await.unwrap_err().class, Class::Transient, "{kind:?}");
    }
    assert_eq!(vendor.inventory(&access, &Room::of(100)).await.unwrap().scenes.len(), 5);
}

#[tokio::test]
async fn where_there_is_no_room_for_a_call_it_is_not_made() {
    let cloud = AqaraCloud::start_default().await.unwrap();
    let vendor = App::of(&cloud, "").connect(cloud.clock().clone());
    let access = Secret::new(cloud.credentials(0).access_token);
    for n_calls in 0..7 {
        let before = cloud.counters().calls;
        let failure = vendor.inventory(&access, &Room::of(n_calls)).await.unwrap_err();
        assert!(matches!(failure.class, Class::Throttled { retry_after: Some(_) }));
        assert_eq!(cloud.counters().calls - before, n_calls as u64);
    }
    assert!(vendor.inventory(&access, &Room::of(7)).await.is_ok());
}
