//! Lines as the tools of 2010 wrote them: what a row is first, then its columns, aligned and two spaces apart.

/// Rows of equally many columns, each after `kind`.
pub(super) fn table<const COLUMNS: usize>(kind: &str, rows: &[[String; COLUMNS]]) -> String {
    let rows: Vec<[String; COLUMNS]> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("  {cell:width$}"));
        format!("{kind}{}", cells.collect::<String>()).trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One line of text that does nothing to a terminal.
pub(super) fn printable(text: &str) -> String {
    let harmless = |c: char| {
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}') { ' ' } else { c }
    };
    text.chars().map(harmless).collect()
}

/// A row of values after `kind`, apart by a delimiter; a value with that in it stands in quotation marks.
pub(super) fn delimited(delimiter: &str, cells: &[String]) -> String {
    let cell = |cell: &String| {
        let cell = printable(cell);
        if !delimiter.is_empty() && cell.contains(delimiter) { format!("\"{cell}\"") } else { cell }
    };
    cells.iter().map(cell).collect::<Vec<_>>().join(delimiter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_two_spaces_apart() {
        let rows = [["STATE", "WHY"], ["InService", "N/A"]].map(|row| row.map(str::to_owned));
        assert_eq!(table("INSTANCE_ID", &rows), "INSTANCE_ID  STATE      WHY\nINSTANCE_ID  InService  N/A");
    }

    #[test]
    fn answers_do_nothing_to_a_terminal() {
        let row = [["i-1\u{1b}[2J\r\nINSTANCE_ID  i-2".to_owned()]];
        assert_eq!(table("INSTANCE_ID", &row), "INSTANCE_ID  i-1 [2J  INSTANCE_ID  i-2");
    }
}
