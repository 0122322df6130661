use common::row;
use common::schema::{Field, FieldType, IndexSpec, Rule, Schema};
use proptest::prelude::*;
use syncdb::migration::{Lineage, Migration, OnLoss, Step, Verdict, plan};

use super::{database, int, people, rows, text, to};

fn changed(change: impl FnOnce(&mut Schema)) -> Schema {
    let mut schema = people();
    change(&mut schema);
    schema.version = common::schema::SchemaVersion(2);
    schema
}

/// The plan to a changed schema, as text.
fn shown(change: impl FnOnce(&mut Schema)) -> String {
    plan(&[people()], &[changed(change)]).to_string()
}

#[test]
fn each_difference_is_found_and_judged() {
    assert_eq!(shown(|_| {}), "");
    let added = |field: Field| shown(|schema| schema.fields.push(field.id(9)));
    assert_eq!(
        added(text("email").nullable()),
        "safe        add column `email` to `people`\n"
    );
    assert!(
        added(text("email"))
            .starts_with("impossible  add column `email` to `people`: it is required")
    );
    let renamed = shown(|schema| schema.fields[1].name = "nick".into());
    assert_eq!(
        renamed,
        "safe        rename column `name` of `people` to `nick`\n"
    );
    let removed = shown(|schema| drop(schema.fields.remove(1)));
    assert!(
        removed.starts_with("lossy       remove column `name` from `people`"),
        "{removed}"
    );
    let typed = |ty: FieldType| shown(|schema| schema.fields[1].ty = ty);
    assert!(
        typed(FieldType::Int).starts_with(
            "lossy       change column `name` of `people` to int: not every text is int"
        )
    );
    let list = FieldType::List(Box::new(FieldType::Int));
    assert!(typed(list).contains("impossible  change column `name`"));
    let bounded = |rule: Rule| shown(|schema| schema.fields[2].rules = vec![rule]);
    assert!(
        bounded(Rule::at_least(-5)).starts_with("safe "),
        "a wider range"
    );
    assert!(
        bounded(Rule::between(0, 9)).starts_with("lossy "),
        "a closer range"
    );
    assert!(bounded(Rule::at_least(1)).contains("outside of the new rule `range`"));
    let required = shown(|schema| schema.fields[2].nullable = false);
    assert!(required.contains("nulls stand in the way"), "{required}");
    let key = shown(|schema| schema.fields[0].ty = FieldType::Text);
    assert!(key.starts_with("impossible  change column `id`"), "{key}");
    let indexed = shown(|schema| schema.indexes = vec![IndexSpec::hash(["name"]).unique()]);
    assert_eq!(
        indexed,
        "safe        remove index `city` from `people`\n\
         lossy       add index `name` to `people`: rows that share a value stand in the way\n"
    );
    let moved = shown(|schema| {
        schema.fields.swap(0, 1);
        schema.key_columns = 1;
    });
    assert!(
        moved.starts_with("lossy       change the key of `people` to `name`"),
        "{moved}"
    );
    let nothing = plan(&[people()], &[]);
    assert_eq!(
        nothing.steps[0].verdict,
        Verdict::Lossy("its rows go".into())
    );
    assert!(nothing.is_possible() && !nothing.is_safe());
}

#[test]
fn tables_come_in_the_order_of_their_references() {
    let schema = |name: &str, to: Option<&str>| {
        let schema = Schema::build(name, ["id"])
            .field(int("id"))
            .field(int("other"));
        match to {
            None => schema,
            Some(to) => schema.reference(["other"], to, common::schema::ReferenceAction::Restrict),
        }
        .finish()
        .unwrap()
    };
    let after = [
        schema("a", Some("b")),
        schema("b", Some("c")),
        schema("c", None),
    ];
    let found = plan(&[], &after);
    let names: Vec<String> = found
        .steps
        .iter()
        .map(|planned| planned.step.table().to_string())
        .collect();
    assert_eq!(names, ["c", "b", "a"]);
    assert!(found.is_safe());
    let circle = [schema("a", Some("b")), schema("b", Some("a"))];
    assert!(
        plan(&[], &circle)
            .to_string()
            .contains("impossible  add table `a`: its references lead in a circle")
    );
    let kept = plan(&after, &after[..2]);
    assert!(
        kept.to_string()
            .contains("impossible  remove table `c`: table `b` refers to it")
    );
}

/// One change of a schema by somebody who edits it by hand.
#[derive(Debug, Clone)]
enum Edit {
    Add(FieldType),
    Remove(usize),
    Rename(usize),
    Retype(usize, FieldType),
    Optional(usize),
    Index(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let ty = prop_oneof![
        Just(FieldType::Int),
        Just(FieldType::Text),
        Just(FieldType::Float),
        Just(FieldType::Bool)
    ];
    prop_oneof![
        ty.clone().prop_map(Edit::Add),
        (1..8_usize).prop_map(Edit::Remove),
        (1..8_usize).prop_map(Edit::Rename),
        (1..8_usize, ty).prop_map(|(at, ty)| Edit::Retype(at, ty)),
        (1..8_usize).prop_map(Edit::Optional),
        (1..8_usize).prop_map(Edit::Index),
    ]
}

fn apply(schema: &mut Schema, edits: &[Edit]) {
    for (number, edit) in (100_u32..).zip(edits) {
        let fields = schema.fields.len();
        let at = |at: usize| 1 + at % fields.saturating_sub(1).max(1);
        match edit.clone() {
            Edit::Add(ty) => schema
                .fields
                .push(Field::new(format!("c{number}"), ty).nullable().id(number)),
            Edit::Remove(position) if fields > 2 => {
                let gone = schema.fields.remove(at(position));
                schema
                    .indexes
                    .retain(|index| !index.columns.contains(&gone.name));
            }
            Edit::Rename(position) if fields > 1 => {
                let to = format!("r{number}");
                let was =
                    std::mem::replace(&mut schema.fields[at(position)].name, to.as_str().into());
                for name in schema
                    .indexes
                    .iter_mut()
                    .flat_map(|index| &mut index.columns)
                {
                    if *name == was {
                        *name = to.as_str().into();
                    }
                }
            }
            Edit::Retype(position, ty) if fields > 1 => {
                let field = &mut schema.fields[at(position)];
                field.ty = ty;
                field.default = None;
                field.nullable = true;
                field.rules.clear();
            }
            Edit::Optional(position) if fields > 1 => schema.fields[at(position)].nullable = true,
            Edit::Index(position) if fields > 1 => {
                let name = schema.fields[at(position)].name.clone();
                let index = IndexSpec::ordered([name]).named(format!("i{number}"));
                schema.indexes.push(index);
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_plan_leads_where_it_is_to_lead(edits in proptest::collection::vec(edit(), 0..8)) {
        let mut after = people();
        apply(&mut after, &edits);
        prop_assume!(after.check().is_ok());
        let found = plan(&[people()], &[after.clone()]);
        prop_assert!(found.is_possible(), "{found}");
        let mut steps = found.into_steps();
        for step in &mut steps {
            if let Step::ChangeColumn { on_loss, .. } = step {
                *on_loss = OnLoss::Null;
            }
        }
        let lineage = Lineage::new([people()]).unwrap().then(Migration::new(steps)).unwrap();
        let shape = |schema: &Schema| {
            let mut fields: Vec<_> = schema
                .fields
                .iter()
                .map(|f| (f.name.clone(), f.ty.clone(), f.nullable, f.rules.clone()))
                .collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let mut indexes = schema.indexes.clone();
            indexes.sort_by(|a, b| a.name.cmp(&b.name));
            (fields, indexes, schema.key_columns)
        };
        let reached = &lineage.latest().schemas["people"];
        prop_assert_eq!(shape(reached), shape(&after));
        let db = database([row! { "id": 1, "name": "12", "age": 3 }, row! { "id": 2, "name": "x" }]);
        to(&db, &lineage, 2).unwrap();
        prop_assert_eq!(rows(&db, "people").len(), 2);
    }
}
