//! The whole page: well-formed, harmless, complete, the same each time.

use std::fmt::Write as _;

use roxmltree::{Document, Node, ParsingOptions};

use super::*;

/// Elements that HTML closes itself; any other one must be closed by a tag of its own.
const VOID: [&str; 3] = ["meta", "link", "img"];

fn log_text(steps: u64) -> String {
    let mut text = String::new();
    for step in (10..=steps).step_by(10) {
        let loss = 0.4 + 2.0 / (step as f64 / 50.0 + 1.0);
        writeln!(
            text,
            r#"{{"kind":"train","step":{step},"epoch":0.1,"loss":{loss},"loss_decode":{loss},"loss_aux":null,"lr":6e-5,"images_per_s":20.5,"wall_s":{step}}}"#
        )
        .unwrap();
        if step % 50 == 0 {
            writeln!(
                text,
                r#"{{"kind":"eval","step":{step},"mIoU":0.4,"mAcc":null,"aAcc":0.8,"classes":{{"Sky":{{"IoU":0.9}},"<i>&":{{"IoU":null}}}}}}"#
            )
            .unwrap();
        }
    }
    text
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![128; (width * height) as usize]).unwrap();
    bytes
}

fn inputs() -> ReportInputs {
    let class = |name: &str, iou| ClassRow {
        name: name.to_owned(),
        color: Some([128, 0, 64]),
        values: vec![iou, Some(0.25)],
    };
    let columns = vec![
        ClassColumn { name: "IoU", hint: "overlap", is_score: true },
        ClassColumn { name: "Pixels", hint: "share", is_score: false },
    ];
    ReportInputs {
        title: "first run".into(),
        subtitle: "configs/synth/upernet_nat_nano.toml".into(),
        facts: vec![("Device".into(), "cpu".into()), ("Seed".into(), String::new())],
        metrics: ["mIoU", "mAcc", "aAcc", "fwIoU", "d2_mIoU"]
            .map(|name| (name.into(), Some(0.471_234)))
            .into(),
        classes: ClassTable { columns, rows: vec![class("Sky", Some(0.9)), class("<i>&", None)] },
        pictures: vec![
            Picture { title: "a street".into(), caption: "overlay".into(), png: png(64, 48) },
            Picture { title: "contact sheet".into(), caption: String::new(), png: png(1200, 400) },
        ],
        config_toml: "# resolved\n[data]\nroot = \"synth\"\n".into(),
        next: vec!["# More steps:\nsmalti train --set train.steps=4000".into()],
    }
}

fn report(log: Option<&str>, inputs: &ReportInputs) -> String {
    let dir = tempfile::tempdir().unwrap();
    let log_path = log.map(|text| {
        let path = dir.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        path
    });
    let path = dir.path().join("report.html");
    write(&path, log_path.as_deref(), inputs).unwrap();
    std::fs::read_to_string(&path).unwrap()
}

/// Parses the page as XML, which is stricter than HTML on nesting, quotes and escapes.
fn checked(html: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let doc = Document::parse_with_options(html, options).unwrap_or_else(|error| panic!("{error}\n{html}"));
    for (at, _) in html.match_indices("/>") {
        let open = &html[html[..at].rfind('<').unwrap() + 1..];
        let name = open.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
        let is_svg = ["line", "path", "circle", "rect"].contains(&name);
        assert!(is_svg || VOID.contains(&name), "<{name}/> is left open by HTML");
    }
    doc
}

fn all<'a, 'i>(doc: &'a Document<'i>, name: &str) -> Vec<Node<'a, 'i>> {
    doc.descendants().filter(|node| node.has_tag_name(name)).collect()
}

fn text_of(node: Node<'_, '_>) -> String {
    node.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

fn headings(doc: &Document<'_>) -> Vec<String> {
    all(doc, "h2").into_iter().map(text_of).collect()
}

#[test]
fn a_full_report_has_every_part() {
    let html = report(Some(&log_text(200)), &inputs());
    let doc = checked(&html);
    assert_eq!(headings(&doc), ["Curves", "Classes", "Pictures", "Next", "Run"]);
    assert_eq!(all(&doc, "svg").len(), 1 + 4); // banner, loss, scores, learning rate, speed
    let cards = all(&doc, "dd");
    assert!(text_of(cards[0]).starts_with("47.12%"), "{}", text_of(cards[0]));
    // Table: head and two classes. Mosaic: head and two classes with four evaluations.
    assert_eq!(all(&doc, "tr").len(), 3 + 3);
    let images = all(&doc, "img");
    assert_eq!(images[0].attribute("width"), Some("64"));
    assert_eq!(images[0].parent().unwrap().attribute("class"), Some("small"));
    assert_eq!(images[1].parent().unwrap().attribute("class"), Some("wide"));
    let command =
        all(&doc, "pre").into_iter().find(|node| node.attribute("class") == Some("command")).unwrap();
    assert_eq!(text_of(command), "smalti train --set train.steps=4000");
    assert!(
        all(&doc, "details").len() == 1 && html.contains("<b>[data]</b>\n<u>root</u> = &quot;synth&quot;")
    );
}

#[test]
fn pictures_come_back_to_the_byte() {
    use base64::Engine as _;
    let html = report(None, &inputs());
    let doc = checked(&html);
    let source = all(&doc, "img")[0].attribute("src").unwrap();
    let data = source.strip_prefix("data:image/png;base64,").unwrap();
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(data).unwrap(), png(64, 48));
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let html = report(Some(&log_text(200)), &inputs());
    let doc = checked(&html);
    for node in doc.descendants() {
        for attribute in node.attributes().filter(|a| ["src", "href"].contains(&a.name())) {
            assert!(attribute.value().starts_with("data:"), "{}", attribute.value());
        }
    }
    let urls = ["http://", "https://", "@import", "url("];
    assert!(urls.iter().all(|url| !html.contains(url)));
}

#[test]
fn hostile_text_stays_text() {
    let evil = "</title></style></script><script>alert('1')</script>\" onload=\"x\"&lt;\0";
    let shown = evil.replace('\0', "\u{fffd}");
    let mut inputs = inputs();
    inputs.title = evil.into();
    inputs.subtitle = evil.into();
    inputs.facts = vec![(evil.into(), evil.into())];
    inputs.metrics = vec![(evil.into(), None)];
    inputs.classes.rows[0].name = evil.into();
    inputs.pictures[0].title = evil.into();
    inputs.pictures[0].caption = evil.into();
    inputs.config_toml = evil.into();
    inputs.next = vec![evil.into()];
    let record = |step: u64| {
        let classes = serde_json::json!({ evil: { "IoU": 0.5 } });
        let mut record = serde_json::json!({"kind": "eval", "step": step, "mIoU": 0.5, "classes": classes});
        record[evil] = 1.into();
        let train = serde_json::json!({"kind": "train", "step": step, "loss": 1.0, format!("loss_{evil}"): 1.0, "loss_b": 2.0});
        format!("{record}\n{train}\n")
    };
    let html = report(Some(&(record(1) + &record(2))), &inputs);
    let doc = checked(&html);
    assert_eq!(all(&doc, "script").len(), 1);
    assert_eq!(text_of(all(&doc, "h1")[0]), shown);
    assert!(all(&doc, "th").into_iter().any(|node| text_of(node) == shown));
    assert_eq!(all(&doc, "img")[0].attribute("alt"), Some(shown.as_str()));
    assert!(doc.descendants().all(|node| node.attribute("onload").is_none()));
    assert!(!html.contains("alert('1')"));
}

#[test]
fn empty_inputs_and_an_empty_log_still_make_a_page() {
    let html = report(Some(""), &ReportInputs::default());
    let doc = checked(&html);
    assert_eq!(headings(&doc), ["Curves"]);
    assert!(html.contains("no records yet"));
    let html = report(None, &ReportInputs::default());
    assert_eq!(headings(&checked(&html)), Vec::<String>::new());
}

#[test]
fn undefined_numbers_are_dashes_and_one_record_is_enough() {
    let mut inputs = inputs();
    inputs.metrics = vec![("mIoU".into(), None), ("mAcc".into(), Some(f64::NAN))];
    for class in &mut inputs.classes.rows {
        class.values.fill(None);
    }
    let log = "{\"kind\":\"train\",\"step\":0,\"loss\":null,\"lr\":0.0}\n{\"kind\":\"eval\",\"step\":0,\"mIoU\":0.0}\n";
    let html = report(Some(log), &inputs);
    let doc = checked(&html);
    assert!(text_of(all(&doc, "dd")[0]).starts_with('–'));
    assert_eq!(all(&doc, "svg").len(), 1 + 2); // banner, scores, learning rate
    assert!(all(&doc, "th").into_iter().all(|node| text_of(node) != "Pixels"));
    assert!(!html.contains("NaN") && !html.contains("inf\""));
}

#[test]
fn many_classes_are_folded_away() {
    let mut inputs = inputs();
    let row = |i| ClassRow { name: format!("c{i}"), ..inputs.classes.rows[0].clone() };
    inputs.classes.rows = (0..150).map(row).collect();
    let html = report(Some(&log_text(100)), &inputs);
    let doc = checked(&html);
    assert_eq!(text_of(all(&doc, "summary")[0]), "All 150 classes");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let log = log_text(2000);
    assert_eq!(report(Some(&log), &inputs()), report(Some(&log), &inputs()));
}

#[test]
fn long_logs_stay_small() {
    let html = report(Some(&log_text(160_000)), &ReportInputs::default());
    checked(&html);
    assert!(html.len() < 400_000, "{}", html.len());
}

#[test]
fn errors_say_what_is_wrong_and_leave_the_old_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    std::fs::write(&path, "old").unwrap();

    let mut broken = inputs();
    broken.pictures[1].png = b"GIF89a and more".to_vec();
    let error = write(&path, None, &broken).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("picture \"contact sheet\" of the report: expected the bytes of a PNG file"),
        "{text}"
    );
    assert!(text.ends_with("got 15 bytes that start with [47, 49, 46, 38, 39, 61, 20, 61]"), "{text}");
    assert_eq!(error.exit_code(), 1);

    let log = dir.path().join("metrics.jsonl");
    std::fs::write(&log, "{\"kind\":\"train\",\"step\":1}\nnonsense\n{\"kind\":\"train\",\"step\":2}\n")
        .unwrap();
    let error = write(&path, Some(&log), &inputs()).unwrap_err();
    assert_eq!(error.to_string(), format!("{}:2: expected a JSON object, got nonsense", log.display()));
    assert_eq!(error.exit_code(), 2);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");

    let error = write(&dir.path().join("no/report.html"), None, &inputs()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no/report.html"), "{error}");
    let error = write(dir.path(), None, &inputs()).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}
