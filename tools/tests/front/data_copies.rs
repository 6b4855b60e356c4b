//! `smalti data check` of sets in which one image is there very often.

use std::fs;
use std::path::Path;

use png::ColorType;
use serde_json::{Value, json};

use crate::support::{ok, write_png_as};

/// Files of one image, and of another one.
const COPIES: [u32; 2] = [3000, 2];

/// `set/` with links to two images under many names, and `a.json`, which lists them all.
fn set(at: &Path) {
    let mut images = vec![];
    for (number, count) in (0..).zip(COPIES) {
        let image = at.join(format!("original/{number}.png"));
        write_png_as(&image, ColorType::Rgb, 4, &[90 * number; 48]);
        for copy in 0..count {
            let name = format!("{number}-{copy:04}.png");
            fs::create_dir_all(at.join("set")).unwrap();
            fs::hard_link(&image, at.join("set").join(&name)).unwrap();
            images.push(json!({"id": images.len() + 1, "file_name": name, "height": 4, "width": 4}));
        }
    }
    let list = json!({"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]});
    fs::write(at.join("a.json"), list.to_string()).unwrap();
}

#[test]
fn a_file_with_thousands_of_copies_is_one_finding() {
    let dir = tempfile::tempdir().unwrap();
    set(dir.path());
    let words = ["data", "check", "--images", "set", "--annotations", "a.json", "--json", "found.json"];
    let printed = ok(dir.path(), &[&words[..], &["--html", "found.html"]].concat());
    for part in [
        "warning: images that are there more than once: 2",
        "0-0001.png, set/0-0002.png, set/0-0003.png and 2996 more are the same file as set/0-0000.png",
        "set/1-0001.png is the same file as set/1-0000.png",
        "3002 of 3002 images are good",
    ] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    assert!(printed.len() < 2000, "{printed}");
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let found: Value = serde_json::from_slice(&read("found.json")).unwrap();
    assert_eq!(found["splits"][0]["findings"][0]["examples"].as_array().unwrap().len(), 2);
    assert!(read("found.html").len() < 50_000);
}

/// Every validation image is one of training: told of each, and on the page of the first thousand.
#[test]
fn many_shared_images_are_cut_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    set(&dir.path().join("data"));
    let recipe = "task = \"instance\"\n[data]\nroot = \".\"\n\
        train = { images = \"set\", annotations = \"a.json\" }\nval = { images = \"set\", annotations = \"a.json\" }\n";
    fs::write(dir.path().join("r.toml"), recipe).unwrap();
    let words = ["data", "check", "--config", "r.toml", "--html", "found.html", "--json", "found.json"];
    let printed = ok(dir.path(), &words);
    for part in ["the same file in both: 3002", "and 2992 more"] {
        assert!(printed.contains(part), "no `{part}` in\n{printed}");
    }
    let page = fs::read_to_string(dir.path().join("found.html")).unwrap();
    assert!(page.contains("and 2002 more"));
    let found: Value = serde_json::from_slice(&fs::read(dir.path().join("found.json")).unwrap()).unwrap();
    assert_eq!(found["shared"].as_array().unwrap().len(), 3002);
}
