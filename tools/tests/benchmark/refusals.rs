//! What `eval --benchmark` refuses.

use std::fs;
use std::path::PathBuf;

use crate::support::{refusal, refused};
use crate::{Trained, WEIGHTS};

/// What does not fit is answered with exit code 2, and nothing is written.
pub fn check(panoptic: &Trained) {
    let at = panoptic.at();
    let eval = |words: &[&str], expected: &[&str]| {
        let said = refusal(at, &[&["eval", "--weights", WEIGHTS, "--benchmark"], words].concat(), expected);
        assert!(!said.contains("shorter edge"), "nothing is said to be evaluated: {said}");
    };
    eval(&["coco"], &["`--benchmark`: expected one of coco-panoptic, coco-instance", "got \"coco\""]);
    eval(
        &["coco-semantic"],
        &["expected \"semantic\" for `--benchmark coco-semantic`, got \"panoptic\"", "cityscapes-panoptic"],
    );
    eval(
        &["cityscapes-panoptic", "--submission", "none"],
        &[
            "expected a network for the 19 classes of cityscapes-panoptic, got one for 133",
            "class 0 is \"person\"",
        ],
    );
    eval(&["coco-panoptic", "--set", "data.eval.short_edge=64"], &["`--set`", "got data.eval.short_edge"]);
    eval(&["coco-panoptic", "--data-root", "none"], &["the folder of coco at none/coco"]);
    eval(
        &["coco-panoptic", "--submission", "first"],
        &["first: expected an empty folder for the submission"],
    );
    eval(
        &["coco-panoptic", "--shard", "0/2", "--parts", "none", "--submission", "first"],
        &["first: expected an empty folder for the submission"],
    );
    refused(at, &["eval", "--weights", WEIGHTS, "--submission", "none"], &["--benchmark"]);
    assert!(!at.join("none").exists());
    let hidden = |path: PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(".smalti-");
    assert!(
        !fs::read_dir(at).unwrap().any(|entry| hidden(entry.unwrap().path())),
        "a hidden folder was left"
    );
}

/// Pieces of a submission that are missing, damaged or not those of the parts; the parts are those of two shards.
pub fn check_pieces(panoptic: &Trained) {
    let at = panoptic.at();
    let sum = |more: &[&str], expected: &[&str]| {
        let words = ["eval", "--weights", WEIGHTS, "--parts", "of_2_parts"];
        refused(at, &[&words[..], more].concat(), expected);
    };
    let official = ["--benchmark", "coco-panoptic", "--submission", "none"];
    sum(
        &[],
        &["part-0-of-2.json: a part of another evaluation, with another --benchmark than this call has"],
    );

    let [first, second, aside] =
        ["part-0-of-2", "part-1-of-2", "aside"].map(|name| at.join("of_2_parts").join(name));
    let lines = first.join("images.jsonl");
    let text = fs::read_to_string(&lines).unwrap();
    assert_eq!(text.lines().count(), 3, "whose it is, and two images");
    let wrong = |text: String, expected: &str| {
        fs::write(&lines, text).unwrap();
        sum(&official, &["part-0-of-2/images.jsonl: ", expected]);
    };
    let without_last = &text[..=text.trim_end().rfind('\n').unwrap()];
    wrong(without_last.to_owned(), "line 3: expected files and entries of an image, got the end");
    wrong(text[..text.len() - 9].to_owned(), "line 3: expected files and entries of an image");
    wrong(text.repeat(2), "expected 3 lines, got more");
    wrong(text.replace("000000000003.png", "../3.png"), "expected paths below the folder of the submission");
    wrong(text.replacen("\"shard\":0", "\"shard\":1", 1), "got one of another evaluation or shard");
    fs::write(&lines, &text).unwrap();
    fs::rename(&second, &aside).unwrap();
    let none =
        "part-1-of-2: expected a piece of the submission, as `eval --shard 1/2 --submission` leaves it";
    sum(&official, &[none]);
    assert!(!at.join("none").exists());
    fs::rename(&aside, &second).unwrap();
    let png = first.join("files/panoptic_val2017_smalti_results/000000000001.png");
    fs::remove_file(png).unwrap();
    sum(&official, &["000000000001.png: reading failed"]);
    assert!(!at.join("none").exists());
}
