//! Tables and numbers as the field prints them.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

/// A fraction as percent with two decimals; `-` where it is not defined.
pub fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "-".to_owned(), |f| format!("{:.2}", f * 100.0))
}

/// A count with thin groups of three: `1 234 567`.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A table with a header; the first column is left-aligned text, the others are right-aligned numbers.
#[derive(Debug)]
pub struct Rows(Table);

impl Rows {
    /// A table without rows.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        // A line below the header is enough.
        table.remove_style(TableComponent::HorizontalLines).remove_style(TableComponent::MiddleIntersections);
        table
            .remove_style(TableComponent::LeftBorderIntersections)
            .remove_style(TableComponent::RightBorderIntersections);
        table
            .set_header(header.into_iter().map(|text| Cell::new(text.into()).add_attribute(Attribute::Bold)));
        for (i, column) in table.column_iter_mut().enumerate() {
            let side = if i == 0 { CellAlignment::Left } else { CellAlignment::Right };
            column.set_cell_alignment(side);
        }
        Self(table)
    }

    /// Left-aligns a column that holds text.
    #[must_use]
    pub fn text_column(mut self, index: usize) -> Self {
        if let Some(column) = self.0.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Left);
        }
        self
    }

    /// Adds a row.
    pub fn push<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.add_row(cells.into_iter().map(Into::into).collect::<Vec<String>>());
    }

    /// Prints the table to stdout.
    pub fn print(&self) {
        super::line(&self.0.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(percent(Some(0.123_456)), "12.35");
        assert_eq!(percent(Some(1.0)), "100.00");
        assert_eq!(percent(None), "-");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1 234 567");
    }
}
