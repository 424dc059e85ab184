//! Plain text tables for people: columns padded to their widest cell, numbers to the right.

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// `rows` under `headings`, one line each, with a rule between.
pub fn text_table(headings: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
        widest.max(headings[column].0.chars().count())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width_of).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(headings.iter().zip(&widths))
            .map(|(cell, ((_, align), &width))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(headings.iter().map(|(heading, _)| *heading).collect());
    let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
    text.push_str(&line(rules.iter().map(String::as_str).collect()));
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

/// A table that can be set as plain text or as Markdown.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    headings: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// `rows` of as many cells as there are `headings`.
    pub fn new(headings: &[(&str, Align)], rows: Vec<Vec<String>>) -> Self {
        let headings = headings
            .iter()
            .map(|(name, align)| (name.to_string(), *align));
        Self {
            headings: headings.collect(),
            rows,
        }
    }

    /// Takes out the columns in which no row has anything.
    pub fn drop_empty_columns(&mut self) {
        for column in (0..self.headings.len()).rev() {
            if self.rows.iter().all(|row| row[column].is_empty()) {
                self.headings.remove(column);
                for row in &mut self.rows {
                    row.remove(column);
                }
            }
        }
    }

    /// As plain text.
    pub fn to_text(&self) -> String {
        let headings: Vec<(&str, Align)> = self
            .headings
            .iter()
            .map(|(name, align)| (name.as_str(), *align))
            .collect();
        text_table(&headings, &self.rows)
    }

    /// As a Markdown table.
    pub fn to_markdown(&self) -> String {
        let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(
            self.headings
                .iter()
                .map(|(name, _)| name.as_str())
                .collect(),
        );
        let rules = self.headings.iter().map(|(_, align)| match align {
            Align::Left => "---",
            Align::Right => "---:",
        });
        text.push_str(&line(rules.collect()));
        for row in &self.rows {
            text.push_str(&line(row.iter().map(String::as_str).collect()));
        }
        text
    }
}

/// Names with a line on each: the names padded to one width, indented.
pub fn text_list(entries: &[(String, String)]) -> String {
    let widest = entries
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    entries
        .iter()
        .map(|(name, line)| format!("  {name:<widest$}  {line}\n"))
        .collect()
}

/// `count` things, such as `1 epoch` or `3 epochs`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_set_as_markdown_without_its_empty_columns() {
        let rows = vec![vec!["a".into(), String::new(), "1".into()]];
        let mut grid = Grid::new(
            &[("x", Align::Left), ("y", Align::Left), ("z", Align::Right)],
            rows,
        );
        grid.drop_empty_columns();
        assert_eq!(grid.to_markdown(), "| x | z |\n| --- | ---: |\n| a | 1 |\n");
        assert_eq!(grid.to_text(), "x  z\n-  -\na  1\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".into(), "12.5".into()],
            vec!["longer".into(), "3.1".into()],
        ];
        let table = text_table(&[("name", Align::Left), ("%", Align::Right)], &rows);
        assert_eq!(
            table,
            "name       %\n------  ----\na       12.5\nlonger   3.1\n"
        );
    }
}
