//! Columns of text, one below the other.

use super::terminal::{Paint, Tone};

/// A table whose columns are as wide as what is in them.
pub(super) struct Table {
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    pub(super) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|it| (Tone::Strong, (*it).to_owned())).collect()] }
    }

    /// A row with as many cells as there are titles.
    pub(super) fn row(&mut self, cells: Vec<(Tone, String)>) {
        // What a vendor or a user named must not move the cursor.
        let plain = |text: String| text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        self.rows.push(cells.into_iter().map(|(tone, text)| (tone, plain(text))).collect());
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|it| it.1.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..n_columns).map(width_of).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, (tone, cell)) in row.iter().enumerate() {
                text.push_str(&paint.paint(*tone, cell));
                if column + 1 < row.len() {
                    let gap = widths[column] - cell.chars().count() + 2;
                    text.extend(std::iter::repeat_n(' ', gap));
                }
            }
            text.push('\n');
        }
        text
    }
}
