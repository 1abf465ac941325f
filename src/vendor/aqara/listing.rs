//! The scenes of an account: its positions from the top down, and what each of them lists (protocol/aqara.md §5.6, §5.7).

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};
use tracing::{info, warn};

use super::{
    answer,
    gateway::{Ask, Gateway},
    intent::Intent,
};
use crate::{
    account::{Class, Code, Secret, Target},
    vendor::{Answer, Toll, VendorError},
};

const PAGE_SIZE: usize = 50;
/// Of one list.
const MAX_PAGES: usize = 20;
/// Of one listing: a third of what the vendor allows in five minutes, and more than any house of fifty rooms needs.
const MAX_CALLS: usize = 100;
/// As deep as positions go.
const MAX_DEPTH: usize = 10;
/// Of a name, in characters.
const LONGEST_NAME: usize = 100;
/// The vendor's code for a list without anything in it, where it does not send an empty one.
const EMPTY: i64 = 2011;

/// Lists the scenes of all positions, each once, those of the upper positions first.
///
/// A position that may not be looked into is left out. Fails where none may, and wherever else the vendor does not answer.
pub(super) async fn scenes(gateway: &Gateway, access: &Secret, toll: &dyn Toll) -> Result<Vec<Target>, VendorError> {
    let mut walk = Walk { gateway, access, toll, calls_left: MAX_CALLS, is_cut: false };
    let top = walk.list(Intent::ListPositions, "").await?;
    let mut known: BTreeSet<String> = top.iter().map(|it| it.id.clone()).collect();
    let mut ahead: VecDeque<(String, usize)> = top.into_iter().map(|it| (it.id, 1)).collect();
    let mut scenes = Vec::new();
    let mut listed = BTreeSet::new();
    let mut refusals = Vec::new();
    let mut is_any_listed = ahead.is_empty();
    while let Some((position, depth)) = ahead.pop_front() {
        match walk.list(Intent::ListScenes, &position).await {
            Ok(found) => {
                is_any_listed = true;
                scenes.extend(found.into_iter().filter(|it| listed.insert(it.id.clone())).map(Item::into_scene));
            }
            Err(failure) => refusals.push(of_this_position(failure)?),
        }
        if depth == MAX_DEPTH {
            continue;
        }
        match walk.list(Intent::ListPositions, &position).await {
            Ok(children) => {
                let new = children.into_iter().filter(|it| known.insert(it.id.clone()));
                ahead.extend(new.map(|it| (it.id, depth + 1)));
            }
            Err(failure) => refusals.push(of_this_position(failure)?),
        }
    }
    if walk.is_cut {
        warn!("there are more positions than {MAX_CALLS} calls can look into: the scenes of the deepest are left out");
    }
    match refusals.pop() {
        Some(failure) if !is_any_listed => Err(failure),
        Some(failure) => {
            info!(code = %failure.code, "positions were left out, since the vendor does not show them: {failure}");
            Ok(scenes)
        }
        None => Ok(scenes),
    }
}

/// A refusal that concerns one position only; any other ends the listing.
fn of_this_position(failure: VendorError) -> Result<VendorError, VendorError> {
    if failure.class == Class::Target { Ok(failure) } else { Err(failure) }
}

/// A query that got no answer has done nothing.
fn of_query(failure: VendorError) -> VendorError {
    if failure.class == Class::Ambiguous { VendorError { class: Class::Transient, ..failure } } else { failure }
}

/// One listing on its way.
struct Walk<'a> {
    gateway: &'a Gateway,
    access: &'a Secret,
    toll: &'a dyn Toll,
    calls_left: usize,
    /// Whether there was more to ask than calls to ask it by.
    is_cut: bool,
}

impl Walk<'_> {
    /// Everything in the list of a position, each once. Ends early where the calls do.
    ///
    /// The total is not relied on: a list goes on while it brings something new, and either a page was full or more was
    /// promised.
    async fn list(&mut self, intent: Intent, position: &str) -> Result<Vec<Item>, VendorError> {
        let of = if intent == Intent::ListScenes { "positionId" } else { "parentPositionId" };
        let mut items: Vec<Item> = Vec::new();
        let mut known = BTreeSet::new();
        let mut n_read = 0;
        for number in 1..=MAX_PAGES {
            if self.calls_left == 0 {
                self.is_cut = true;
                break;
            }
            self.calls_left -= 1;
            let data = json!({ of: position, "pageNum": number, "pageSize": PAGE_SIZE });
            let ask = Ask { intent, data, access: Some(self.access), toll: Some(self.toll) };
            let answer = self.gateway.ask(ask).await.map_err(of_query)?;
            let page = read(&answer, intent)?;
            n_read += page.n_items;
            let n_known = items.len();
            items.extend(page.items.into_iter().filter(|it| known.insert(it.id.clone())));
            let is_promised = page.total.is_some_and(|it| n_read < it);
            if items.len() == n_known || (page.n_items < PAGE_SIZE && !is_promised) {
                break;
            }
        }
        Ok(items)
    }
}

/// One page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    /// With those that could not be read.
    n_items: usize,
    /// How many the whole list is said to have.
    total: Option<usize>,
}

/// A position or a scene.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) id: String,
    /// Fit to be shown; may be empty.
    pub(super) name: String,
}

impl Item {
    fn into_scene(self) -> Target {
        let name = if self.name.is_empty() { self.id.clone() } else { self.name };
        Target::discovered(self.id, &name)
    }
}

/// Reads a page. `Protocol`: the vendor said yes, and it is no list. Items without a usable id are passed over.
pub(super) fn read(answer: &Answer, intent: Intent) -> Result<Page, VendorError> {
    if answer::code(answer) == Some(EMPTY) {
        return Ok(Page { items: Vec::new(), n_items: 0, total: None });
    }
    let result = answer::result(answer, intent)?;
    let total = result.get("totalCount").and_then(answer::text).and_then(|it| it.trim().parse().ok());
    let data = match &result {
        Value::Object(fields) => fields.get("data").unwrap_or(&Value::Null),
        other => other,
    };
    let rows: &[Value] = match data {
        Value::Array(rows) => rows,
        // Nothing, in the ways in which it is said.
        Value::Null => &[],
        Value::String(text) if text.is_empty() => &[],
        _ => return Err(VendorError::new(Class::Protocol, Code::VendorBusy)),
    };
    let (id_key, name_key) =
        if intent == Intent::ListScenes { ("sceneId", "name") } else { ("positionId", "positionName") };
    let item = |row: &Value| {
        let id = answer::text(row.get(id_key)?).filter(|it| is_id(it))?.into_owned();
        Some(Item { id, name: row.get(name_key).and_then(answer::text).map(|it| shown(&it)).unwrap_or_default() })
    };
    Ok(Page { items: rows.iter().filter_map(item).collect(), n_items: rows.len(), total })
}

/// As ids are: `AL.832619739930738688`, `real1.836663300479156224`.
fn is_id(text: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_');
    (1..=128).contains(&text.len()) && text.bytes().all(is_plain)
}

/// A name as it may be shown: without control characters or blanks around it, and not endless.
fn shown(name: &str) -> String {
    let is_control = |it: &char| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let visible: String = name.chars().filter(|it| !is_control(it)).collect();
    let short: String = visible.trim().chars().take(LONGEST_NAME).collect();
    short.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(intent: Intent, body: &str) -> Result<Page, VendorError> {
        read(&Answer::of(Secret::new(body)), intent)
    }

    #[test]
    fn a_name_is_shown_without_control_characters_or_blanks_around_it_and_not_endless() {
        for (name, visible) in [
            ("Leaving home ", "Leaving home"),
            ("\u{feff}\t回家\n", "回家"),
            ("a\u{0}b\u{7}c\u{9f}d\u{2028}e\r\n", "abcde"),
            ("Gute Nacht 🌙", "Gute Nacht 🌙"),
            (" \u{1b} ", ""),
            ("", ""),
        ] {
            assert_eq!(shown(name), visible, "{name:?}");
        }
        assert_eq!(shown(&"ü".repeat(5000)).chars().count(), LONGEST_NAME);
        assert_eq!(shown(&format!("{} {}", "x".repeat(LONGEST_NAME - 1), "y")).len(), LONGEST_NAME - 1);
    }

    #[test]
    fn a_scene_without_a_name_goes_by_its_id() {
        let body = r#"{"code":0,"result":{"data":[{"sceneId":"AL.1","name":" "},{"sceneId":"AL.2"},{"sceneId":"AL.3","name":7}]}}"#;
        let scenes = page(Intent::ListScenes, body).unwrap().items.into_iter().map(Item::into_scene);
        let names: Vec<(String, String)> = scenes.map(|it| (it.key, it.name)).collect();
        let expected = [("al_1", "AL.1"), ("al_2", "AL.2"), ("al_3", "7")];
        assert_eq!(names, expected.map(|(key, name)| (key.to_owned(), name.to_owned())));
    }

    #[test]
    fn what_has_no_usable_id_is_passed_over_and_still_counted() {
        let odd_ids =
            [r#""""#, "null", "[]", r#""a b""#, r#""AL.1\n""#, r#""<script>""#, &format!("{:?}", "9".repeat(129))];
        for odd in odd_ids {
            let body = format!(
                r#"{{"code":"0","result":{{"data":[{{"sceneId":{odd},"name":"x"}},7,{{"sceneId":"AL.2","name":"y"}}],"totalCount":"3"}}}}"#
            );
            let page = page(Intent::ListScenes, &body).unwrap();
            assert_eq!(page.items, [Item { id: "AL.2".into(), name: "y".into() }], "{odd}");
            assert_eq!((page.n_items, page.total), (3, Some(3)));
        }
    }

    #[test]
    fn nothing_is_an_empty_list_however_it_is_said_and_anything_else_is_no_list() {
        for nothing in [r#""""#, "null", "[]", "{}", r#"{"data":null}"#, r#"{"data":"","totalCount":0}"#] {
            assert!(
                page(Intent::ListPositions, &format!(r#"{{"code":0,"result":{nothing}}}"#)).unwrap().items.is_empty()
            );
        }
        assert!(page(Intent::ListScenes, r#"{"code":2011,"message":"x"}"#).unwrap().items.is_empty());
        for other in [r#""text""#, "7", r#"{"data":{}}"#, r#"{"data":"text"}"#] {
            let failure = page(Intent::ListScenes, &format!(r#"{{"code":0,"result":{other}}}"#)).unwrap_err();
            assert_eq!(failure.class, Class::Protocol, "{other}");
        }
    }
}
