//! Aligned columns for people.

/// A table: a header, rows, and which columns hold numbers (aligned right).
pub struct TextTable {
    header: Vec<String>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these columns; a name that begins with `>` is a column of numbers.
    pub fn new(columns: &[&str]) -> Self {
        Self {
            header: columns.iter().map(|c| c.trim_start_matches('>').to_owned()).collect(),
            right: columns.iter().map(|c| c.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty, line ends and other control characters are shown as `\u{a}`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| one_line(&cell)).collect();
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
    }

    /// True if no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, indented by two spaces, without trailing blanks.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| display_width(&row[column]));
            cells.chain([display_width(&self.header[column])]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut out = String::new();
        for row in std::iter::once(&self.header).chain(&self.rows) {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column].saturating_sub(display_width(cell)));
                line.push(' ');
                if self.right[column] {
                    line.extend([pad.as_str(), cell]);
                } else {
                    line.extend([cell, pad.as_str()]);
                }
                line.push(' ');
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// The text with control characters, line ends included, written out.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// The columns that a text takes on a terminal: East Asian characters and emoji take two, marks that combine none.
fn display_width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a | 0x64b..=0x65f | 0x200b..=0x200f => 0,
            0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xe0100..=0xe01ef => 0,
            0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
            0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x16fe0..=0x18dff | 0x1b000..=0x1b2ff => 2,
            0x1f300..=0x1f64f | 0x1f680..=0x1f6ff | 0x1f900..=0x1f9ff | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

/// `1 table`, `2 tables`.
pub fn counted(n: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// 1234567 as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Bytes as people read them: `12 B`, `3.4 KiB`, `1.2 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (n as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Milliseconds as people read them: `340 ms`, `2.1 s`, `3 min`, `5 h`.
pub fn duration_ms(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{:.1} s", ms as f64 / 1000.0),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_align_left_and_numbers_right() {
        let mut t = TextTable::new(&["table", ">rows"]);
        t.row(["orders".into(), "104".into()]);
        t.row(["ge\nom".into(), "3".into()]);
        assert_eq!(t.render(), "  table      rows\n  orders      104\n  ge\\u{a}om     3\n");
    }

    #[test]
    fn names_align_by_the_columns_that_they_take() {
        let mut t = TextTable::new(&["table", ">rows"]);
        t.row(["注文".into(), "104".into()]);
        t.row(["ａ한😀".into(), "5".into()]);
        t.row(["u\u{308}ber".into(), "3".into()]);
        assert_eq!(t.render(), "  table   rows\n  注文     104\n  ａ한😀     5\n  u\u{308}ber       3\n");
    }

    #[test]
    fn one_of_a_kind_is_singular() {
        assert_eq!(
            (counted(1, "table"), counted(0, "row"), counted(1_000, "row")),
            ("1 table".into(), "0 rows".into(), "1,000 rows".into())
        );
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!((grouped(7), grouped(1_234), grouped(1_234_567)), ("7".into(), "1,234".into(), "1,234,567".into()));
        assert_eq!((bytes(12), bytes(3_500)), ("12 B".into(), "3.4 KiB".into()));
        assert_eq!((duration_ms(12), duration_ms(2_140)), ("12 ms".into(), "2.1 s".into()));
    }
}
