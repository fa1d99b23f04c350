//! What labels are held against: an output, and of which class its number or text is, from the names in
//! `model.toml`. Refuses what the file leaves open: a guess would measure another class.

use infer::{ElementType, Output, OutputKind};
use monitor::outcomes::{Answer, Score};
use schemas::column_of_output;

use crate::exit;

/// From here on the probability of a class is the answer, where neither model nor descriptor says.
const THRESHOLD: f64 = 0.5;
/// Class of a score where no output names any.
const SECOND_CLASS: &str = "1";

/// The outputs of these names; an empty one is the only label, the only value, the only score.
pub(super) fn answer(prediction: &str, score: &str, outputs: &[Output]) -> anyhow::Result<Answer> {
    let named = |key: &str, name: &str| {
        outputs.iter().find(|output| output.name == name).ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            exit::usage(format!(
                "{key} = {name:?} is no output of the model: it has {}",
                names.join(", ")
            ))
        })
    };
    let only = |kind| {
        let mut of = outputs.iter().filter(|output| output.kind == kind);
        of.next().filter(|_| of.next().is_none())
    };
    let score = match score {
        "" => only(OutputKind::Probability),
        name => Some(named("labels.score", name)?),
    };
    if let Some(score) = score.filter(|score| score.kind != OutputKind::Probability) {
        let message = format!("labels.score = {:?} is no probability", score.name);
        return Err(exit::usage(message));
    }
    let answer = match prediction {
        "" => only(OutputKind::Label).or_else(|| match score {
            Some(_) => None,
            None => only(OutputKind::Value),
        }),
        name => Some(named("labels.prediction", name)?),
    };
    match answer {
        Some(answer) if answer.kind == OutputKind::Value => {
            Ok(Answer::Number { column: column_of_output(&answer.name) })
        }
        Some(answer) if answer.kind != OutputKind::Label => {
            let (name, kind) = (&answer.name, answer.kind.name());
            Err(exit::usage(format!(
                "labels.prediction = {name:?} is a {kind}: name a label or a value"
            )))
        }
        None if score.is_none() => Err(exit::usage(
            "labels.prediction is empty, and the model has not one label, one value or one \
             probability that could be meant: name the output that labels are held against",
        )),
        answer => class(answer, score),
    }
}

/// A class, by the names of the label. One that has none is an index into those of the score, or
/// one of them.
fn class(label: Option<&Output>, score: Option<&Output>) -> anyhow::Result<Answer> {
    let of = |output: Option<&Output>| output.map(|it| it.classes.clone()).unwrap_or_default();
    let names = Some(of(label)).filter(|own| !own.is_empty()).unwrap_or_else(|| of(score));
    let score = score.map(|output| {
        let column = column_of_output(&output.name);
        let class = class_of(output, label, &names)?;
        anyhow::Ok(Score { column, class, threshold: output.threshold.unwrap_or(THRESHOLD) })
    });
    Ok(Answer::Class {
        column: label.map(|label| column_of_output(&label.name)),
        score: score.transpose()?,
        classes: names,
    })
}

/// The class that a probability is of, by its own names, else by the label's.
fn class_of(score: &Output, label: Option<&Output>, names: &[String]) -> anyhow::Result<String> {
    let refused = |what: String| {
        exit::usage(format!("labels.score: output {:?} of model.toml {what}", score.name))
    };
    let own = if score.classes.is_empty() { names } else { &score.classes[..] };
    if let [only] = own {
        let what = format!("is of the only class {only:?}: name the other one in `classes`, too");
        return Err(refused(what));
    }
    let class = match (&score.class, score.index) {
        (Some(class), _) => class.clone(),
        (None, Some(index)) if own.is_empty() => index.to_string(),
        (None, Some(index)) => own.get(index).cloned().ok_or_else(|| {
            refused(format!("has index {index}, and {own:?} are all classes: correct one of them"))
        })?,
        // A single element is the probability of the second of two.
        (None, None) => match own {
            [] => SECOND_CLASS.to_owned(),
            [_, second] => second.clone(),
            more => {
                let fix = "give it `class` and `classes`";
                return Err(refused(format!(
                    "is of one of the classes {more:?}, which one? {fix}"
                )));
            }
        },
    };
    let Some(label) = label else { return Ok(class) };
    if names.is_empty() && label.dtype == ElementType::String {
        let fix = "give it `class` and `classes` as the model calls them";
        let label = &label.name;
        return Err(refused(format!("names no class, but output {label:?} answers names: {fix}")));
    }
    if !names.is_empty() && !names.contains(&class) {
        let (label, fix) = (&label.name, "give both outputs the same `classes`");
        let what = format!("is of class {class:?}, and output {label:?} has {names:?}: {fix}");
        return Err(refused(what));
    }
    Ok(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[&str] = &[];
    const NAMES: &[&str] = &["on_time", "late"];
    const TURNED: &[&str] = &["late", "on_time"];

    fn output(name: &str, kind: OutputKind, dtype: ElementType, classes: &[&str]) -> Output {
        Output {
            name: name.into(),
            tensor: name.into(),
            dtype,
            kind,
            index: None,
            class: None,
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            threshold: None,
        }
    }

    fn label(dtype: ElementType, classes: &[&str]) -> Output {
        output("verdict", OutputKind::Label, dtype, classes)
    }

    fn score(index: Option<usize>, class: Option<&str>, classes: &[&str]) -> Output {
        let kind = OutputKind::Probability;
        let class = class.map(str::to_owned);
        Output { index, class, ..output("p", kind, ElementType::Float32, classes) }
    }

    /// Names of the classes, and the score's.
    fn found(outputs: &[Output]) -> Result<(Vec<String>, String), String> {
        match answer("", "", outputs).map_err(|error| error.to_string())? {
            Answer::Class { score: Some(score), classes, .. } => Ok((classes, score.class)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn classes_are_called_as_the_output_calls_them_that_the_answer_is_from() {
        let (int, float, text) = (ElementType::Int64, ElementType::Float32, ElementType::String);
        for (label, score, classes, class) in [
            // Names on the label only: the score's place is a place among them.
            (label(int, NAMES), score(Some(0), None, &[]), NAMES, "on_time"),
            (label(int, NAMES), score(Some(1), None, &[]), NAMES, "late"),
            (label(float, NAMES), score(None, None, &[]), NAMES, "late"),
            (label(text, TURNED), score(Some(0), None, &[]), TURNED, "late"),
            // Names on the score only: the label is a place among them, or one of them.
            (label(int, &[]), score(None, Some("late"), NAMES), NAMES, "late"),
            (label(int, &[]), score(Some(0), None, NAMES), NAMES, "on_time"),
            (label(text, &[]), score(None, None, NAMES), NAMES, "late"),
            // Names on both, in different orders: each by its own.
            (label(int, TURNED), score(Some(1), None, NAMES), TURNED, "late"),
            (label(int, TURNED), score(Some(0), None, NAMES), TURNED, "on_time"),
            (label(int, TURNED), score(None, None, NAMES), TURNED, "late"),
            (label(int, TURNED), score(None, Some("on_time"), NAMES), TURNED, "on_time"),
            // No names: the score's place is the class.
            (label(int, &[]), score(Some(0), None, &[]), NONE, "0"),
            (label(int, &[]), score(Some(2), None, &[]), NONE, "2"),
            (label(int, &[]), score(None, None, &[]), NONE, "1"),
        ] {
            let case = format!("{label:?} {score:?}");
            let expected: Vec<String> = classes.iter().map(|&class| class.to_owned()).collect();
            assert_eq!(found(&[label, score]), Ok((expected, class.to_owned())), "{case}");
        }
    }

    #[test]
    fn what_is_left_open_is_refused_with_the_way_out() {
        let (int, text) = (ElementType::Int64, ElementType::String);
        let three: &[&str] = &["a", "b", "c"];
        for (label, score, said) in [
            (label(text, &[]), score(Some(1), None, &[]), "output \"verdict\" answers names"),
            (label(int, three), score(None, None, &[]), "is of one of the classes"),
            (label(int, NAMES), score(Some(2), None, &[]), "has index 2"),
            (label(int, &["0", "1"]), score(Some(1), None, NAMES), "is of class \"late\""),
        ] {
            let error = found(&[label, score]).expect_err(said);
            assert!(error.contains(said) && error.contains("class"), "{error}");
            assert!(error.starts_with("labels.score: output \"p\" of model.toml"), "{error}");
        }
    }

    #[test]
    fn a_score_alone_decides_between_its_own_classes() {
        let one = [score(Some(0), None, NAMES)];
        assert_eq!(found(&one), Ok((vec!["on_time".into(), "late".into()], "on_time".into())));
        assert_eq!(found(&[score(None, None, &[])]), Ok((vec![], "1".into())));
    }
}
