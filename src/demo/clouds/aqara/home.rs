//! The made-up homes of the simulated Aqara accounts, and the intents that show and run their scenes
//! (protocol/aqara.md §5.5 to §5.7).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{envelope::Refused, knobs::AqaraKnobs, parse};
use crate::demo::clouds::simulation::Desk;

/// A scene of a made-up home.
pub struct Scene {
    /// `AL.` and digits.
    pub id: String,
    pub name: &'static str,
    /// The room or home that it belongs to.
    pub position_id: String,
}

struct Position {
    id: String,
    name: &'static str,
    /// Empty for a home.
    parent: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    scene_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListScenes {
    #[serde(default)]
    position_id: String,
    #[serde(flatten)]
    page: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListPositions {
    #[serde(default)]
    parent_position_id: String,
    #[serde(flatten)]
    page: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default = "first_page")]
    page_num: usize,
    #[serde(default = "page_size")]
    page_size: usize,
}

/// The scenes of an account; ids differ from account to account.
pub fn scenes(account: usize) -> Vec<Scene> {
    let scene = |number: usize, name, position_id| Scene {
        id: format!("AL.{}", 832_619_739_930_000_000 + account * 100 + number),
        name,
        position_id,
    };
    vec![
        scene(1, "TV PIN entry", room_id(account, 1)),
        scene(2, "TV warning", room_id(account, 1)),
        scene(3, "TV power off", room_id(account, 1)),
        scene(4, "Gute Nacht", room_id(account, 2)),
        scene(5, "Leaving home ", home_id(account)),
    ]
}

/// Runs a scene. Nothing is said of it but that it ran.
pub(super) fn run_scene(desk: &mut Desk<'_, AqaraKnobs>, account: usize, data: &Value) -> Result<Value, Refused> {
    let Run { scene_id } = parse(data)?;
    if !scenes(account).iter().any(|it| it.id == scene_id) {
        return Err(Refused::new(desk.knobs.unknown_scene_code, "scene not exist"));
    }
    *desk.counters.scene_runs.entry(scene_id).or_default() += 1;
    Ok(json!(""))
}

pub(super) fn list_scenes(desk: &Desk<'_, AqaraKnobs>, account: usize, data: &Value) -> Result<Value, Refused> {
    let ListScenes { position_id, page } = parse(data)?;
    let is_everywhere = position_id.is_empty() && desk.knobs.empty_position_lists_all;
    if !position_id.is_empty() && !positions(account).iter().any(|it| it.id == position_id) {
        return Err(Refused::new(701, "position not exist"));
    }
    let scenes = scenes(account).into_iter().filter(|it| is_everywhere || it.position_id == position_id);
    let shown = scenes.map(|it| json!({ "sceneId": it.id, "name": it.name, "model": "app.scene.v1", "localizd": 0 }));
    page.of(shown.collect())
}

pub(super) fn list_positions(account: usize, data: &Value) -> Result<Value, Refused> {
    let ListPositions { parent_position_id, page } = parse(data)?;
    let children = positions(account).into_iter().filter(|it| it.parent == parent_position_id);
    let shown = children.map(|it| {
        json!({
            "positionId": it.id,
            "positionName": it.name,
            "parentPositionId": it.parent,
            "createTime": 1_640_000_000_000_u64,
            "description": "",
        })
    });
    page.of(shown.collect())
}

fn positions(account: usize) -> Vec<Position> {
    vec![
        Position { id: home_id(account), name: "Home", parent: String::new() },
        Position { id: room_id(account, 1), name: "Living room", parent: home_id(account) },
        Position { id: room_id(account, 2), name: "Bedroom", parent: home_id(account) },
    ]
}

fn home_id(account: usize) -> String {
    format!("real1.{}", 836_663_300_000_000_000 + account * 100)
}

fn room_id(account: usize, number: usize) -> String {
    format!("real2.{}", 836_663_300_000_000_000 + account * 100 + number)
}

impl Page {
    /// The page of all items, with how many there are in all.
    fn of(&self, items: Vec<Value>) -> Result<Value, Refused> {
        if self.page_num == 0 || self.page_size == 0 {
            return Err(Refused::new(302, "pageNum and pageSize count from 1"));
        }
        let n_items = items.len();
        let skipped = (self.page_num - 1).saturating_mul(self.page_size);
        let data: Vec<_> = items.into_iter().skip(skipped).take(self.page_size).collect();
        Ok(json!({ "data": data, "totalCount": n_items }))
    }
}

fn first_page() -> usize {
    1
}

fn page_size() -> usize {
    50
}
