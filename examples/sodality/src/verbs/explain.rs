//! `sodality explain`: what a code of a reason means.

use sodality::explain::{self, Explanation, GROUPS};

use super::style;
use crate::exit::Failed;
use crate::timeline::{Fields, Printer};

/// How many codes are offered for one that does not exist.
const HINTS: usize = 4;

/// Says what a reason means: what happened, whether that is to be expected, and what to do.
///
/// Each line of the program that tells a reason shows its code in square brackets, and JSON has it in the field "code". A code
/// is never changed once it was given.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The code, such as reject.before-join; all of them if none is named
    code: Option<String>,
    /// Print JSON, a line for each reason
    #[arg(long)]
    json: bool,
}

/// Prints it.
///
/// # Errors
/// [`Failed::Usage`] if there is no such code.
pub(crate) fn main(args: ExplainArgs) -> Result<(), Failed> {
    let mut printer = Printer::new(style(args.json));
    let Some(code) = args.code else {
        for group in GROUPS {
            printer.heading(&format!("{}: {}", group.name, group.told));
            for reason in group.all {
                one_line(&mut printer, group.name, reason);
            }
        }
        return Ok(());
    };
    let code = code.trim_matches(['[', ']']);
    let Some(reason) = explain::lookup(code) else {
        let near = near(code).join(", ");
        return Err(Failed::Usage(format!("no reason has the code {code:?}; near to it are {near}")));
    };
    if args.json {
        let list = GROUPS.iter().find(|group| group.all.contains(reason)).map_or("", |group| group.name);
        one_line(&mut printer, list, reason);
        return Ok(());
    }
    for line in [
        format!("{} ({})", reason.code, reason.class),
        format!("  {}", reason.happened),
        format!("  What to do: {}", reason.advice),
        format!("  {}: {}", reason.class, reason.class.meaning()),
    ] {
        printer.plain("explain", "reason", &line, &Fields::new());
    }
    Ok(())
}

fn one_line(printer: &mut Printer, list: &str, reason: &Explanation) {
    let text = format!("  {:<36} {:<9} {}", reason.code, reason.class.name(), reason.happened);
    let fields = vec![
        ("code", reason.code.into()),
        ("class", reason.class.name().into()),
        ("list", list.into()),
        ("happened", reason.happened.into()),
        ("advice", reason.advice.into()),
    ];
    printer.plain("explain", "reason", &text, &fields);
}

/// The codes that are most like this one: those that contain it first, then those with the fewest changes.
fn near(code: &str) -> Vec<&'static str> {
    let code: String = code.chars().take(64).flat_map(char::to_lowercase).collect();
    let mut codes: Vec<_> = explain::all()
        .map(|reason| {
            let inside = code.len() > 2 && reason.code.contains(&code);
            let last = reason.code.rsplit('.').next().unwrap_or_default();
            let changes = changes(&code, reason.code).min(changes(&code, last));
            (!inside, changes, reason.code)
        })
        .collect();
    codes.sort_unstable();
    codes.into_iter().take(HINTS).map(|(_, _, code)| code).collect()
}

/// How many characters must be put in, left out or replaced to come from one text to the other.
fn changes(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, here) in from.chars().enumerate() {
        let mut next = vec![n + 1];
        for ((there, replaced), left_out) in to.iter().zip(&row).zip(row.iter().skip(1)) {
            let put_in = next.last().copied().unwrap_or_default() + 1;
            let replaced = replaced + usize::from(here != *there);
            next.push(put_in.min(replaced).min(left_out + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted() {
        assert_eq!(changes("", "abc"), 3);
        assert_eq!(changes("abc", "abc"), 0);
        assert_eq!(changes("forged", "forger"), 1);
        assert_eq!(changes("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_is_met_with_the_code_that_was_meant() {
        assert_eq!(near("reject.befor-join")[0], "reject.before-join");
        assert_eq!(near("REJECT.FORGED")[0], "reject.forged");
        assert_eq!(near("replayd")[0], "reject.replayed");
        assert!(near("below-floor").iter().all(|code| code.starts_with("join.below-floor.")));
        assert_eq!(near("").len(), HINTS);
        assert_eq!(near(&"x".repeat(100_000)).len(), HINTS);
    }
}
