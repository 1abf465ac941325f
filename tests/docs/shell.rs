//! Command lines as they stand in the documentation, taken apart as a shell would.

/// The commands of `latchkey` in a line of shell, each with its arguments.
pub(crate) fn latchkey_commands(line: &str) -> Vec<Vec<String>> {
    let is_ours = |it: &Vec<String>| it[0] == "latchkey" || it[0].ends_with("/latchkey");
    commands(line).into_iter().filter(is_ours).collect()
}

/// The commands of a line: what stands between pipes, without assignments before, comments and redirections.
pub(crate) fn commands(line: &str) -> Vec<Vec<String>> {
    let is_assignment =
        |it: &String| it.split_once('=').is_some_and(|it| it.0.chars().all(|it| it.is_ascii_uppercase() || it == '_'));
    let commands = parts(line).into_iter();
    let commands = commands.map(|words| words.into_iter().skip_while(is_assignment).collect::<Vec<_>>());
    commands.filter(|it| !it.is_empty()).collect()
}

fn parts(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, '#') if word.is_none() => break,
            (None, '|' | ';' | '&') => {
                commands.last_mut().unwrap().extend(word.take());
                commands.push(Vec::new());
            }
            // What stands behind it is a file.
            (None, '<' | '>') => {
                commands.last_mut().unwrap().extend(word.take());
                let rest = letters.as_str().trim_start_matches(['<', '>', '&']).trim_start();
                letters = rest[rest.find([' ', '|', ';']).unwrap_or(rest.len())..].chars();
            }
            (None, _) if letter.is_whitespace() => commands.last_mut().unwrap().extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    commands.last_mut().unwrap().extend(word);
    commands
}

#[test]
fn a_line_is_taken_apart_as_a_shell_would() {
    let line =
        "A=1 latchkey backup \"a b\" --x 'y' < in.txt | jq '.a | .b' > out && target/release/latchkey run # and so on";
    let expected = [&["latchkey", "backup", "a b", "--x", "y"][..], &["target/release/latchkey", "run"]];
    assert_eq!(latchkey_commands(line), expected);
}
