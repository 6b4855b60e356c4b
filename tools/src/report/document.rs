//! Findings and pictures as a document: printed on a terminal, or as one HTML file that is complete without a network.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use super::page::{POLICY, STYLE, SizedPicture};
use super::text::Esc;
use super::{Picture, ReportError};
use crate::output::table::Rows;
use crate::output::{self, write_atomic};

/// A title and sections.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// What kind of document it is, in a few words.
    pub kind: &'static str,
    /// Its title.
    pub title: String,
    /// Its sections, in order.
    pub sections: Vec<Section>,
}

/// Parts under a heading.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What follows, in order.
    pub parts: Vec<Part>,
}

/// Something in a section.
#[derive(Debug, Clone)]
pub enum Part {
    /// A line of text.
    Text(String),
    /// A heading and what is listed under it; `count` may be larger than the number of items.
    List {
        /// What the items are.
        title: String,
        /// How many there are.
        count: u64,
        /// The first of them.
        items: Vec<String>,
    },
    /// A line of a recipe to try, and why.
    Setting {
        /// The line.
        setting: String,
        /// What speaks for it.
        reason: String,
    },
    /// A table; all columns but the first and `text_columns` hold numbers.
    Table {
        /// Names of the columns.
        header: Vec<String>,
        /// One text a column.
        rows: Vec<Vec<String>>,
        /// Further columns of text.
        text_columns: Vec<usize>,
    },
    /// Pictures, for the page alone.
    Pictures(Vec<Picture>),
}

/// Items of a list that are printed.
const PRINTED: usize = 10;

/// Items of a list on the page: a browser opens no page of a hundred thousand lines gladly.
const ON_PAGE: usize = 1000;

/// The first `most` items of a list that has `count`, and what stands for the others.
fn cut(items: &[String], count: u64, most: usize) -> impl Iterator<Item = String> {
    let some = &items[..items.len().min(most)];
    let more = count.saturating_sub(some.len() as u64);
    some.iter().cloned().chain((more > 0).then(|| format!("and {more} more")))
}

impl Document {
    /// Prints titles of sections, texts, lists and tables to stdout.
    pub fn print(&self) {
        self.sections.iter().for_each(Section::print);
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// A picture that is no PNG; a file that cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<(), ReportError> {
        for picture in
            self.sections.iter().flat_map(|section| &section.parts).filter_map(Part::pictures).flatten()
        {
            SizedPicture::check(picture)?;
        }
        write_atomic(path, Html(self).to_string().as_bytes()).map_err(ReportError::Write)
    }
}

impl Section {
    fn print(&self) {
        output::line(&self.title);
        for part in &self.parts {
            match part {
                Part::Text(text) => output::line(&format!("  {text}")),
                Part::List { title, count, items } => {
                    output::line(&format!("  {title}: {count}"));
                    cut(items, *count, PRINTED).for_each(|item| output::line(&format!("    {item}")));
                }
                Part::Setting { setting, reason } => output::line(&format!("  try {setting}: {reason}")),
                Part::Table { header, rows, text_columns } => {
                    let mut table = Rows::new(header.clone());
                    for &column in text_columns {
                        table = table.text_column(column);
                    }
                    for row in rows {
                        table.push(row.clone());
                    }
                    table.print();
                }
                Part::Pictures(_) => {}
            }
        }
    }
}

impl Part {
    fn pictures(&self) -> Option<&Vec<Picture>> {
        match self {
            Self::Pictures(pictures) => Some(pictures),
            _ => None,
        }
    }
}

/// The document as a page.
struct Html<'a>(&'a Document);

impl Display for Html<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Document { kind, title, sections } = self.0;
        let title = Esc(title);
        writeln!(f, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />")?;
        writeln!(f, "<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\" />")?;
        writeln!(f, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />")?;
        writeln!(f, "<meta name=\"color-scheme\" content=\"light dark\" />")?;
        writeln!(f, "<link rel=\"icon\" href=\"data:,\" />\n<title>{title} · Smalti</title>")?;
        writeln!(f, "<style>\n{STYLE}</style>\n</head>\n<body>\n<header>")?;
        writeln!(f, "<p class=\"kind\">{kind}</p>\n<h1>{title}</h1></header>\n<main>")?;
        for section in sections {
            writeln!(f, "<section>\n<h2>{}</h2>", Esc(&section.title))?;
            for part in &section.parts {
                write!(f, "{part}")?;
            }
            writeln!(f, "</section>")?;
        }
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "</main>\n<footer>Written by smalti {version}.</footer>\n</body>\n</html>")
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => writeln!(f, "<p>{}</p>", Esc(text)),
            Self::List { title, count, items } => {
                writeln!(f, "<details open=\"open\"><summary>{}: {count}</summary>", Esc(title))?;
                let lines: Vec<String> = cut(items, *count, ON_PAGE).collect();
                writeln!(f, "<pre>{}</pre></details>", Esc(&lines.join("\n")))
            }
            Self::Setting { setting, reason } => {
                writeln!(
                    f,
                    "<p>{}</p>\n<pre class=\"command\"><code>{}</code></pre>",
                    Esc(reason),
                    Esc(setting)
                )
            }
            Self::Table { header, rows, .. } => {
                write!(f, "<div class=\"scroll\"><table>\n<thead><tr>")?;
                for name in header {
                    write!(f, "<th>{}</th>", Esc(name))?;
                }
                writeln!(f, "</tr></thead>\n<tbody>")?;
                for row in rows {
                    write!(f, "<tr>")?;
                    for cell in row {
                        write!(f, "<td>{}</td>", Esc(cell))?;
                    }
                    writeln!(f, "</tr>")?;
                }
                writeln!(f, "</tbody></table></div>")
            }
            Self::Pictures(pictures) => {
                writeln!(f, "<div class=\"pictures\">")?;
                for picture in pictures.iter().filter_map(|picture| SizedPicture::check(picture).ok()) {
                    write!(f, "{picture}")?;
                }
                writeln!(f, "</div>")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_say_so() {
        let items: Vec<String> = (0..1200).map(|item| item.to_string()).collect();
        let ends = |count, most| {
            let lines: Vec<String> = cut(&items, count, most).collect();
            (lines.len(), lines[lines.len() - 1].clone())
        };
        assert_eq!(ends(1200, 10), (11, "and 1190 more".into()));
        assert_eq!(ends(1200, 1200), (1200, "1199".into()));
        assert_eq!(
            ends(99_999, 5000),
            (1201, "and 98799 more".into()),
            "the items are the first of the count"
        );
    }

    #[test]
    fn the_page_is_well_formed_and_escaped() {
        let items = vec!["a <b>".to_owned(); 30];
        let rows = vec![vec!["x".to_owned(), "1 & 2".to_owned()]];
        let parts = vec![
            Part::Text("some \"text\"".into()),
            Part::List { title: "wrong".into(), count: 99, items },
            Part::Setting { setting: "data.root = \"x\"".into(), reason: "because".into() },
            Part::Table { header: vec!["name".into(), "n".into()], rows, text_columns: vec![] },
        ];
        let sections = vec![Section { title: "train <1>".into(), parts }];
        let document = Document { kind: "Data check", title: "mine".into(), sections };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.html");
        document.write_html(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let xml = text.replacen("<!DOCTYPE html>", "", 1);
        roxmltree::Document::parse(&xml).unwrap();
        for part in ["train &lt;1&gt;", "wrong: 99", "data.root = &quot;x&quot;", "1 &amp; 2"] {
            assert!(text.contains(part), "{part}");
        }
        let picture = Picture { title: "p".into(), caption: String::new(), png: vec![1, 2] };
        let sections = vec![Section { title: "s".into(), parts: vec![Part::Pictures(vec![picture])] }];
        let wrong = Document { sections, ..document };
        assert!(matches!(wrong.write_html(&path), Err(ReportError::NotPng { .. })));
    }
}
