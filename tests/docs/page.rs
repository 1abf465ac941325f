//! Markdown as the tests look at it: headings, links, tables, quotes and blocks of code, each with its place.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// One Markdown file.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    /// Of every heading, as GitHub makes them.
    pub(crate) anchors: Vec<String>,
    pub(crate) links: Vec<Link>,
    pub(crate) rows: Vec<Row>,
    pub(crate) quotes: Vec<Quote>,
    pub(crate) blocks: Vec<Block>,
    /// What stands in the running text as code.
    pub(crate) code: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) target: String,
    pub(crate) line: usize,
}

/// A row of a table, without its head.
#[derive(Debug)]
pub(crate) struct Row {
    /// The heading that it stands under.
    pub(crate) section: String,
    /// Of each cell what stands there as code.
    pub(crate) cells: Vec<Vec<String>>,
    /// Of each cell its whole text.
    pub(crate) texts: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Quote {
    pub(crate) section: String,
    /// As it stands in the file, without the mark.
    pub(crate) text: String,
}

/// A fenced block of code.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Empty where none is named.
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) line: usize,
    /// The comment in the line before it: `run`, `run afresh`, `run stopped`.
    pub(crate) mark: Option<String>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file by its path from the root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Every Markdown file of the repository.
pub(crate) fn pages() -> Vec<Page> {
    let found: Vec<Page> = files(|it| it.extension().is_some_and(|it| it == "md")).iter().map(Page::of).collect();
    assert!(8 < found.len(), "the pages were not found");
    found
}

/// The files that are ours, by their paths from the root.
pub(crate) fn files(is_wanted: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let is_ours = |it: &Path| {
        let name = it.file_name().unwrap().to_string_lossy();
        !matches!(name.as_ref(), "target" | "data" | ".git")
    };
    let mut folders = vec![root().to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).filter(|it| is_ours(it)) {
            if path.is_dir() {
                folders.push(path);
            } else if is_wanted(&path) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

impl Page {
    /// Reads the page at a path from the root.
    pub(crate) fn of(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let text = read(&path.to_string_lossy());
        let mut reader = Reader { page: Self { path: path.to_owned(), ..Self::default() }, ..Reader::default() };
        for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
            reader.take(event, &text, range.start);
        }
        reader.page
    }

    /// The table rows under a heading.
    pub(crate) fn rows_of(&self, section: &str) -> Vec<&Row> {
        let rows: Vec<&Row> = self.rows.iter().filter(|it| it.section == section).collect();
        assert!(!rows.is_empty(), "{} has no table under {section:?}", self.path.display());
        rows
    }

    /// What stands as code in the first cells of the tables under a heading.
    pub(crate) fn first_cells(&self, section: &str) -> Vec<String> {
        self.rows_of(section).iter().flat_map(|it| it.cells[0].clone()).collect()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    page: Page,
    section: String,
    /// The text of the heading that is being read.
    heading: Option<String>,
    block: Option<Block>,
    row: Option<Row>,
    mark: Option<String>,
}

impl Reader {
    fn take(&mut self, event: Event<'_>, text: &str, at: usize) {
        match event {
            Event::Start(tag) => self.start(tag, text, at),
            Event::End(tag) => self.end(tag),
            Event::Text(said) => self.text(&said),
            Event::Code(said) => {
                self.text(&said);
                match &mut self.row {
                    Some(row) => row.cells.last_mut().unwrap().push(said.to_string()),
                    None => self.page.code.push(said.to_string()),
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => self.html(&html, line_of(text, at)),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>, text: &str, at: usize) {
        let line = line_of(text, at);
        match tag {
            Tag::Heading { .. } => self.heading = Some(String::new()),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.page.links.push(Link { target: dest_url.into_string(), line });
            }
            Tag::BlockQuote(_) => {
                let lines = text[at..].lines().map_while(|it| it.strip_prefix("> "));
                let text = lines.collect::<Vec<_>>().join("\n");
                self.page.quotes.push(Quote { section: self.section.clone(), text });
            }
            Tag::CodeBlock(kind) => {
                let language = match kind {
                    CodeBlockKind::Fenced(info) => info.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.block = Some(Block { language, text: String::new(), line, mark: self.mark.take() });
            }
            Tag::TableRow => {
                self.row = Some(Row { section: self.section.clone(), cells: Vec::new(), texts: Vec::new() });
            }
            Tag::TableCell => {
                if let Some(row) = &mut self.row {
                    row.cells.push(Vec::new());
                    row.texts.push(String::new());
                }
            }
            Tag::Paragraph => self.mark = None,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                let heading = self.heading.take().unwrap_or_default();
                let anchor = anchor(&heading);
                let is_second = self.page.anchors.contains(&anchor);
                // GitHub counts them, and readers of links do not.
                self.page.anchors.push(if is_second { String::new() } else { anchor });
                self.section = heading;
            }
            TagEnd::CodeBlock => self.page.blocks.extend(self.block.take()),
            TagEnd::TableRow => self.page.rows.extend(self.row.take()),
            _ => {}
        }
    }

    fn text(&mut self, said: &str) {
        if let Some(heading) = &mut self.heading {
            heading.push_str(said);
        }
        if let Some(block) = &mut self.block {
            block.text.push_str(said);
        }
        if let Some(text) = self.row.as_mut().and_then(|it| it.texts.last_mut()) {
            text.push_str(said);
        }
    }

    /// Pictures that have a width, and marks.
    fn html(&mut self, html: &str, line: usize) {
        for attribute in ["src=\"", "href=\""] {
            for found in html.split(attribute).skip(1) {
                let target = found.split('"').next().unwrap_or_default().to_owned();
                self.page.links.push(Link { target, line });
            }
        }
        if let Some(mark) = html.trim().strip_prefix("<!--").and_then(|it| it.strip_suffix("-->")) {
            self.mark = Some(mark.trim().to_owned());
        }
    }
}

/// As GitHub makes an anchor of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].lines().count() + 1
}
