//! Names of tensors as patterns that can be read in both directions: `layers.#.downsample.**` <-> `layers.#+1.downsample.**`.
//!
//! Segments stand between dots. `#` is a number, with an offset where the two sides count from different ones; `**` at the
//! end is one segment or more. Captures go from one side to the other in the order in which they stand.

/// What a name had in place of a pattern's `#` and `**`; numbers without the offsets of their side.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Captures {
    numbers: Vec<i64>,
    rest: String,
}

/// Longest number in digits: far above any number of blocks.
const DIGITS: usize = 9;

/// The captures of `name`, if the pattern fits it.
pub(crate) fn captures(pattern: &str, name: &str) -> Option<Captures> {
    let mut found = Captures::default();
    let mut left = Some(name);
    for part in pattern.split('.') {
        let text = left?;
        if part == "**" {
            text.clone_into(&mut found.rest);
            left = None;
            break;
        }
        let (segment, after) =
            text.split_once('.').map_or((text, None), |(segment, after)| (segment, Some(after)));
        match part.split_once('#') {
            None if part == segment => {}
            None => return None,
            Some((before, offset)) => found.numbers.push(number(segment.strip_prefix(before)?, offset)?),
        }
        left = after;
    }
    left.is_none().then_some(found)
}

/// The name of which [`captures`] gives these captures.
pub(crate) fn render(pattern: &str, captures: &Captures) -> String {
    let mut numbers = captures.numbers.iter();
    let parts = pattern.split('.').map(|part| match part.split_once('#') {
        Some((before, offset)) => {
            let number = numbers.next().expect("as many numbers on both sides of a rule") + offset_of(offset);
            format!("{before}{number}")
        }
        None if part == "**" => captures.rest.clone(),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(".")
}

/// A decimal number as Python prints it, less the offset; none below 0.
fn number(text: &str, offset: &str) -> Option<i64> {
    let canonical = text == "0" || !text.starts_with('0');
    if text.is_empty() || text.len() > DIGITS || !canonical || !text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    Some(text.parse::<i64>().ok()? - offset_of(offset)).filter(|&number| number >= 0)
}

fn offset_of(text: &str) -> i64 {
    if text.is_empty() { 0 } else { text.parse().expect("the offset of a pattern is a number") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(from: &str, to: &str, name: &str) -> Option<String> {
        captures(from, name).map(|found| render(to, &found))
    }

    #[test]
    fn captures_cross_over_in_order() {
        let (ours, theirs) = ("layer#.#.bn#.**", "res#+1.#.conv#.norm.**");
        let name = through(ours, theirs, "layer2.10.bn3.running_mean").unwrap();
        assert_eq!(name, "res3.10.conv3.norm.running_mean");
        assert_eq!(through(theirs, ours, &name).unwrap(), "layer2.10.bn3.running_mean");
        assert_eq!(through("norm#.**", "norms.stage#+1.**", "norm0.weight").unwrap(), "norms.stage1.weight");
        assert_eq!(through("**", "**", "a.b").unwrap(), "a.b");
    }

    #[test]
    fn other_names_do_not_fit() {
        let fits = |pattern, name| captures(pattern, name).is_some();
        assert!(fits("a.#.**", "a.0.b.c") && fits("a.#.b", "a.12.b"));
        for name in ["a", "a.0", "a.x.b", "a.01.b", "a.-1.b", "a.+1.b", "a..b", "a.1234567890.b", "b.0.b"] {
            assert!(!fits("a.#.**", name), "{name}");
        }
        assert!(!fits("a.#.b", "a.0.b.c"), "more segments than the pattern");
        assert!(!fits("s#+1.**", "s0.w"), "a side that counts from 1 has no 0");
        assert!(fits("s#-1.**", "s0.w"), "the other side has a 1 then");
    }
}
