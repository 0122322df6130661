//! Reads tokens into a [`Filter`] by recursive descent; every level of recursion is counted.

use super::lexer::{Lexer, Token};
use super::{date_of, timestamp_of};
use crate::core::base::{Text, Value};
use crate::error::{Error, Result};
use crate::limits::{FILTER_DEPTH_MAX, FILTER_TEXT_BYTES_MAX};
use crate::operations::query::filter::{CompareOp, Filter};
use crate::operations::query::path::{Part, Path};

/// Words that no column is called outside backticks.
pub(super) const KEYWORDS: [&str; 12] = [
    "and", "or", "not", "in", "between", "like", "is", "null", "true", "false", "nan", "inf",
];

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    /// Byte offset of `token`.
    at: usize,
    /// The token after `token`, when it was looked at.
    ahead: Option<(usize, Token)>,
    depth: usize,
}

pub(super) fn parse_filter(text: &str) -> Result<Filter> {
    let mut parser = Parser::new(text)?;
    let filter = parser.either()?;
    parser.finish()?;
    filter.check()?;
    Ok(filter)
}

pub(in crate::operations::query) fn parse_path(text: &str) -> Result<Path> {
    let mut parser = Parser::new(text)?;
    let path = parser.path()?;
    parser.finish()?;
    Ok(path)
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self> {
        if text.len() > FILTER_TEXT_BYTES_MAX {
            return Err(Error::limit_exceeded(format!(
                "the text of a filter has at most {FILTER_TEXT_BYTES_MAX} bytes, this one {}",
                text.len()
            )));
        }
        let mut lexer = Lexer::new(text);
        let (at, token) = lexer.next()?;
        Ok(Self {
            lexer,
            token,
            at,
            ahead: None,
            depth: 0,
        })
    }

    /// Takes the current token and moves to the next.
    fn take(&mut self) -> Result<Token> {
        let (at, token) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.lexer.next()?,
        };
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Looks at the token after the current one.
    fn peek(&mut self) -> Result<&Token> {
        if self.ahead.is_none() {
            self.ahead = Some(self.lexer.next()?);
        }
        Ok(self.ahead.as_ref().map_or(&Token::End, |(_, token)| token))
    }

    fn expected(&self, what: &str) -> Error {
        let found = self.token.describe();
        self.lexer
            .error(self.at, &format!("found {found}, expected {what}"))
    }

    fn word(&mut self, keyword: &str) -> Result<bool> {
        let found = self.token.is_word(keyword);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn symbol(&mut self, symbol: &str) -> Result<bool> {
        let found = self.token.is_symbol(symbol);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    fn need_symbol(&mut self, symbol: &str) -> Result<()> {
        if self.symbol(symbol)? {
            Ok(())
        } else {
            Err(self.expected(&format!("`{symbol}`")))
        }
    }

    fn finish(&self) -> Result<()> {
        match self.token {
            Token::End => Ok(()),
            _ => Err(self.expected("`and`, `or` or the end")),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > FILTER_DEPTH_MAX {
            let message = format!("a filter is nested at most {FILTER_DEPTH_MAX} levels deep");
            let place = self.lexer.error(self.at, &message);
            return Err(Error::limit_exceeded(place.message()));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn either(&mut self) -> Result<Filter> {
        let first = self.both()?;
        if !self.token.is_word("or") {
            return Ok(first);
        }
        let mut any = vec![first];
        while self.word("or")? {
            any.push(self.both()?);
        }
        Ok(Filter::Or(any))
    }

    fn both(&mut self) -> Result<Filter> {
        let first = self.negation()?;
        if !self.token.is_word("and") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.word("and")? {
            all.push(self.negation()?);
        }
        Ok(Filter::And(all))
    }

    fn negation(&mut self) -> Result<Filter> {
        if self.word("not")? {
            return Ok(!self.deeper(Self::negation)?);
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Filter> {
        if self.symbol("(")? {
            let inner = self.deeper(Self::either)?;
            self.need_symbol(")")?;
            return Ok(inner);
        }
        if self.word("true")? {
            return Ok(Filter::True);
        }
        if self.word("false")? {
            return Ok(!Filter::True);
        }
        let is_name = matches!(self.token, Token::Word(_) | Token::Quoted(_));
        if is_name && self.peek()?.is_symbol("(") {
            return self.call();
        }
        let path = self.path()?;
        self.condition(path)
    }

    /// `all(..)`, `any(..)`, or a condition of the application.
    fn call(&mut self) -> Result<Filter> {
        let quoted = matches!(self.token, Token::Quoted(_));
        let name = self.name("a condition")?;
        self.need_symbol("(")?;
        let all = name.eq_ignore_ascii_case("all");
        if !quoted && (all || name.eq_ignore_ascii_case("any")) {
            let mut parts = Vec::new();
            if !self.token.is_symbol(")") {
                parts.push(self.deeper(Self::either)?);
            }
            self.need_symbol(")")?;
            return Ok(if all {
                Filter::And(parts)
            } else {
                Filter::Or(parts)
            });
        }
        let (mut paths, mut arguments) = (Vec::new(), Vec::new());
        while !self.token.is_symbol(")") {
            if self.is_value()? {
                arguments.push(self.value()?);
            } else if arguments.is_empty() {
                paths.push(self.path()?);
            } else {
                return Err(self.expected("a value, because paths come first"));
            }
            if !self.symbol(",")? {
                break;
            }
        }
        self.need_symbol(")")?;
        Ok(Filter::Custom {
            name,
            paths,
            arguments,
        })
    }

    fn condition(&mut self, path: Path) -> Result<Filter> {
        const CONDITIONS: &str = "a comparison such as `==`, `<` or `>=`, or `in`, `between`, \
                                  `like`, `starts with`, `contains`, `is null`";
        if let Token::Symbol(symbol) = self.token {
            let op = match symbol {
                "==" | "=" => CompareOp::Eq,
                "!=" | "<>" => CompareOp::Ne,
                "<" => CompareOp::Lt,
                "<=" => CompareOp::Le,
                ">" => CompareOp::Gt,
                ">=" => CompareOp::Ge,
                _ => return Err(self.expected(CONDITIONS)),
            };
            self.take()?;
            let value = self.value()?;
            return Ok(Filter::Compare { path, op, value });
        }
        if self.word("is")? {
            let negated = self.word("not")?;
            if !self.word("null")? {
                return Err(self.expected("`null`"));
            }
            let filter = Filter::IsNull { path };
            return Ok(if negated { !filter } else { filter });
        }
        let negated = self.word("not")?;
        let filter = if self.word("in")? {
            self.need_symbol("(")?;
            let mut values = Vec::new();
            while !self.token.is_symbol(")") {
                values.push(self.value()?);
                if !self.symbol(",")? {
                    break;
                }
            }
            self.need_symbol(")")?;
            Filter::In { path, values }
        } else if self.word("between")? {
            let low = self.value()?;
            if !self.word("and")? {
                return Err(self.expected("`and` and the greatest value"));
            }
            let high = self.value()?;
            Filter::Between { path, low, high }
        } else if self.word("like")? {
            let pattern = self.text("a pattern in quotes")?;
            Filter::Like { path, pattern }
        } else if self.word("starts")? {
            if !self.word("with")? {
                return Err(self.expected("`with`"));
            }
            let prefix = self.text("text in quotes")?;
            Filter::StartsWith { path, prefix }
        } else if self.word("contains")? {
            let value = self.value()?;
            Filter::Contains { path, value }
        } else {
            return Err(self.expected(CONDITIONS));
        };
        Ok(if negated { !filter } else { filter })
    }

    fn name(&mut self, what: &str) -> Result<Text> {
        match &self.token {
            Token::Word(_) | Token::Quoted(_) => match self.take()? {
                Token::Word(name) | Token::Quoted(name) => Ok(name.into()),
                _ => Err(self.expected(what)),
            },
            _ => Err(self.expected(what)),
        }
    }

    fn path(&mut self) -> Result<Path> {
        if let Token::Word(word) = &self.token
            && KEYWORDS.iter().any(|keyword| self.token.is_word(keyword))
        {
            let hint = format!("a column (a column of that name is written `` `{word}` ``)");
            return Err(self.expected(&hint));
        }
        let mut path = Path::column(self.name("a column")?);
        loop {
            if self.symbol(".")? {
                let key = self.name("a name after `.`")?;
                path.parts.push(Part::Key(key));
            } else if self.symbol("[")? {
                let index = match self.token {
                    Token::Int(index) => u32::try_from(index).ok(),
                    _ => None,
                };
                let Some(index) = index else {
                    return Err(self.expected("a position from 0 to 4294967295"));
                };
                self.take()?;
                self.need_symbol("]")?;
                path.parts.push(Part::Index(index));
            } else {
                return Ok(path);
            }
            if path.parts.len() > FILTER_DEPTH_MAX {
                return Err(Error::limit_exceeded(format!(
                    "a path has at most {FILTER_DEPTH_MAX} parts"
                )));
            }
        }
    }

    fn text(&mut self, what: &str) -> Result<Text> {
        match &self.token {
            Token::Text(_) => match self.take()? {
                Token::Text(text) => Ok(text.into()),
                _ => Err(self.expected(what)),
            },
            _ => Err(self.expected(what)),
        }
    }

    /// Whether a value begins here, and not a path.
    fn is_value(&mut self) -> Result<bool> {
        Ok(match &self.token {
            Token::Word(word) => {
                let word = word.to_ascii_lowercase();
                match word.as_str() {
                    "true" | "false" | "null" | "nan" | "inf" => true,
                    "timestamp" | "date" | "uuid" | "json" => {
                        matches!(self.peek()?, Token::Text(_))
                    }
                    _ => false,
                }
            }
            Token::Quoted(_) | Token::Symbol(_) | Token::End => false,
            _ => true,
        })
    }

    fn value(&mut self) -> Result<Value> {
        if !self.is_value()? {
            return Err(self.expected("a value"));
        }
        let at = self.at;
        let word = match self.take()? {
            Token::Text(text) => return Ok(Value::from(text)),
            Token::Int(int) => return Ok(Value::Int(int)),
            Token::Float(float) => return Ok(Value::Float(float)),
            Token::Bytes(bytes) => return Ok(Value::from(bytes)),
            Token::Parameter(name) => return Ok(Filter::param(name)),
            Token::Word(word) => word.to_ascii_lowercase(),
            _ => return Err(self.expected("a value")),
        };
        let value = match word.as_str() {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "null" => return Ok(Value::Null),
            "nan" => return Ok(Value::Float(f64::NAN)),
            "inf" => return Ok(Value::Float(f64::INFINITY)),
            "timestamp" => timestamp_of(&self.text("a timestamp in quotes")?).map(Value::Timestamp),
            "date" => date_of(&self.text("a date in quotes")?).map(Value::Date),
            "uuid" => uuid::Uuid::parse_str(&self.text("a uuid in quotes")?)
                .ok()
                .map(Value::Uuid),
            _ => serde_json::from_str(&self.text("JSON in quotes")?).ok(),
        };
        value.ok_or_else(|| {
            let form = match word.as_str() {
                "timestamp" => "RFC 3339 as in '2026-01-31T08:30:00Z'",
                "date" => "ISO 8601 as in '2026-01-31'",
                "uuid" => "hexadecimal as in '01234567-89ab-cdef-0123-456789abcdef'",
                _ => "the JSON form of a value",
            };
            self.lexer
                .error(at, &format!("not a {word}; expected {form}"))
        })
    }
}
