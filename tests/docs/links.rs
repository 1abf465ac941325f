//! Links lead to files and headings that there are.

use std::path::{Component, Path, PathBuf};

use super::page::{Page, files, pages, read, root};

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_there_are() {
    let pages = pages();
    let dead: Vec<String> = pages.iter().flat_map(|page| dead_links(page, &pages)).collect();
    assert!(dead.is_empty(), "these lead nowhere:\n{}", dead.join("\n"));
}

/// Comments, hints and scripts name pages, too.
#[test]
fn every_page_that_is_named_elsewhere_is_there() {
    let is_text =
        |it: &Path| it.extension().is_some_and(|it| ["rs", "toml", "yml", "yaml", "conf"].iter().any(|ext| it == *ext));
    let mut named = Vec::new();
    for file in files(|it| is_text(it)) {
        for (number, line) in read(&file.to_string_lossy()).lines().enumerate() {
            let pages = line.split(|it: char| it.is_whitespace() || "\"'`(),;:!".contains(it));
            let pages =
                pages.map(|it| it.trim_end_matches('.')).filter(|it| it.starts_with("docs/") && it.ends_with(".md"));
            named.extend(pages.map(|it| (format!("{}:{}", file.display(), number + 1), it.to_owned())));
        }
    }
    let missing: Vec<_> = named.iter().filter(|it| !root().join(&it.1).is_file()).collect();
    assert!(!named.is_empty() && missing.is_empty(), "{missing:?}");
}

/// As code: `src/lib.rs`, `tests/keeper/`. Acme is the vendor that there is not.
#[test]
fn every_file_that_a_page_names_is_there() {
    let is_path = |it: &&String| {
        let folders = ["src/", "tests/", "config/", "docs/", "ha-discovery/", ".ci/", "packaging/"];
        let is_plain = it.chars().all(|it| it.is_ascii_alphanumeric() || "/._-".contains(it));
        folders.iter().any(|folder| it.starts_with(folder)) && is_plain && !it.contains("acme")
    };
    for page in pages() {
        let cells = page.rows.iter().flat_map(|it| it.cells.iter().flatten());
        for path in page.code.iter().chain(cells).filter(is_path) {
            assert!(root().join(path).exists(), "{} names {path}, which is not there", page.path.display());
        }
    }
}

#[test]
fn every_page_can_be_reached_from_the_index_of_the_documentation() {
    let index = Page::of("docs/README.md");
    let linked: Vec<PathBuf> = index.links.iter().filter_map(|it| Some(place(&index, &it.target)?.0)).collect();
    let is_page = |it: &Path| it.extension().is_some_and(|it| it == "md");
    for page in files(is_page).into_iter().filter(|it| it.starts_with("docs") && *it != index.path) {
        assert!(linked.contains(&page), "{} is not in docs/README.md", page.display());
    }
}

fn dead_links(page: &Page, pages: &[Page]) -> Vec<String> {
    let is_dead = |target: &str| {
        let Some((path, anchor)) = place(page, target) else { return false };
        if !root().join(&path).exists() {
            return true;
        }
        let Some(anchor) = anchor else { return false };
        let there = pages.iter().find(|it| it.path == path);
        !there.is_some_and(|it| it.anchors.contains(&anchor))
    };
    let dead = page.links.iter().filter(|it| is_dead(&it.target));
    dead.map(|it| format!("{}:{}: {}", page.path.display(), it.line, it.target)).collect()
}

/// The file, by its path from the root, and the anchor in it; none where the link leads out of the repository.
fn place(page: &Page, target: &str) -> Option<(PathBuf, Option<String>)> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (target, None),
    };
    if path.is_empty() {
        return Some((page.path.clone(), anchor));
    }
    let mut place = page.path.parent().unwrap().to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => assert!(place.pop(), "{}: {target} leads out", page.path.display()),
            Component::Normal(name) => place.push(name),
            _ => {}
        }
    }
    Some((place, anchor))
}
