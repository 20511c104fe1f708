//! Names of interfaces as two words, for comparing a device's name in the kernel.

use super::layout::Pattern;

/// `IFNAMSIZ`, the closing NUL included.
const NAME_BYTES: usize = 16;
const ANY: &str = "*";
const LOOPBACK: &str = "lo";

/// What the patterns ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Only these; loopback aside. None: all.
    pub(super) wanted: Option<Vec<Pattern>>,
    pub(super) names_loopback: bool,
}

/// Of names, or beginnings of names with a `*` behind them (`[*]` is the character itself).
///
/// # Errors
/// One that can be no name.
pub(super) fn wanted(texts: &[String]) -> Result<Names, String> {
    let names_loopback = texts.iter().any(|text| text == LOOPBACK);
    if texts.is_empty() || texts.iter().any(|text| text == ANY) {
        return Ok(Names { wanted: None, names_loopback });
    }
    let others = texts.iter().filter(|text| *text != LOOPBACK);
    Ok(Names { wanted: Some(others.map(|text| pattern(text)).collect::<Result<_, _>>()?), names_loopback })
}

/// The words and masks of one text.
///
/// # Errors
/// It can be no name.
pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    let literal = text.strip_suffix("[*]").map(|start| format!("{start}*"));
    let (name, is_beginning) = match (&literal, text.strip_suffix('*')) {
        (Some(name), _) => (name.as_str(), false),
        (None, Some(start)) => (start, true),
        (None, None) => (text, false),
    };
    let is_name = name.len() < NAME_BYTES && !name.bytes().any(|byte| byte == 0 || byte == b'/');
    if !is_name || name.is_empty() && !is_beginning {
        return Err(format!("{text:?} can be no name of an interface"));
    }
    // A whole name ends where its NUL is; of a beginning anything may follow.
    let compared = name.len() + usize::from(!is_beginning);
    Ok(Pattern { word: words(name.as_bytes()), mask: words(&vec![u8::MAX; compared]) })
}

fn words(bytes: &[u8]) -> [u64; 2] {
    let mut all = [0; NAME_BYTES];
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    let (words, _) = all.as_chunks::<8>();
    [0, 1].map(|at| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str, name: &str) -> bool {
        let (pattern, name) = (pattern(text).unwrap(), words(name.as_bytes()));
        (0..2).all(|at| name[at] & pattern.mask[at] == pattern.word[at])
    }

    #[test]
    fn names_and_beginnings_fit_as_in_nft() {
        assert!(fits("eth0", "eth0") && !fits("eth0", "eth01") && !fits("eth0", "eth"));
        assert!(fits("ppp*", "ppp") && fits("ppp*", "ppp123456789012") && !fits("ppp*", "pp"));
        assert!(fits("a[*]", "a*") && !fits("a[*]", "ab"));
        assert!(fits("exactly15chars_", "exactly15chars_") && !fits("exactly15chars_", "exactly15chars-"));
        assert!(fits("fifteen15chars*", "fifteen15chars1"), "a beginning may be a whole name but for its last letter");
        assert!(fits("*", "anything"));
    }

    #[test]
    fn what_can_be_no_name_is_refused() {
        for text in ["", "sixteen_letters_", "a/b", "a\0b"] {
            assert!(pattern(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn loopback_is_asked_for_by_its_name() {
        let of = |texts: &[&str]| wanted(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap();
        assert_eq!(of(&[]), Names::default());
        assert_eq!(of(&["lo", "*"]), Names { wanted: None, names_loopback: true });
        assert_eq!(of(&["lo"]), Names { wanted: Some(vec![]), names_loopback: true });
        assert_eq!(of(&["eth0", "lo"]).wanted.map(|all| all.len()), Some(1));
    }
}
