//! Splits text into tokens.

use crate::error::{Error, Result};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A word outside quotes: a name or a keyword.
    Word(String),
    /// A name in backticks.
    Quoted(String),
    /// Text in quotes.
    Text(String),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A parameter.
    Parameter(String),
    /// An operator or a bracket.
    Symbol(&'static str),
    /// Nothing more.
    End,
}

impl Token {
    /// The token as a message names it.
    pub(super) fn describe(&self) -> String {
        let short = |text: &str| -> String {
            let mut short: String = text.chars().take(32).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            short
        };
        match self {
            Self::Word(word) => format!("`{}`", short(word)),
            Self::Quoted(name) => format!("the name `{}`", short(name)),
            Self::Text(text) => format!("the text '{}'", short(text)),
            Self::Int(int) => format!("the number {int}"),
            Self::Float(float) => format!("the number {float:?}"),
            Self::Bytes(_) => "a byte string".into(),
            Self::Parameter(name) => format!("the parameter `${}`", short(name)),
            Self::Symbol(symbol) => format!("`{symbol}`"),
            Self::End => "the end".into(),
        }
    }

    /// Whether this is the keyword, in either case.
    pub(super) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(found) if *found == symbol)
    }
}

/// Two-character symbols before their one-character beginnings.
const SYMBOLS: [&str; 16] = [
    "==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", ".", "{", "}",
];

pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Byte offset of what is not read yet.
    at: usize,
}

pub(super) fn begins_word(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

pub(super) fn continues_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// An error at a byte offset: line and column count from 1, columns in characters.
    pub(super) fn error(&self, at: usize, message: &str) -> Error {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        Error::invalid(format!("line {line}, column {column}: {message}"))
    }

    /// The next token and the offset at which it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token)> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let begin = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok((begin, Token::End));
        };
        if (first == 'x' || first == 'X') && rest.get(1..).is_some_and(|r| r.starts_with('\'')) {
            self.at += 1;
            let digits = self.quoted('\'')?;
            let bytes = hex(&digits).ok_or_else(|| {
                self.error(
                    begin,
                    "a byte string has an even number of hexadecimal digits",
                )
            })?;
            return Ok((begin, Token::Bytes(bytes)));
        }
        let token = match first {
            '\'' | '"' => Token::Text(self.quoted(first)?),
            '`' => Token::Quoted(self.quoted(first)?),
            '$' => {
                self.at += 1;
                let name = self.take_while(continues_word);
                if name.is_empty() {
                    return Err(self.error(begin, "found `$`, expected `$` and a name"));
                }
                Token::Parameter(name.to_owned())
            }
            '-' | '0'..='9' => self.number()?,
            c if begins_word(c) => Token::Word(self.take_while(continues_word).to_owned()),
            c => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    Token::Symbol(symbol)
                }
                None => return Err(self.error(begin, &format!("unexpected character {c:?}"))),
            },
        };
        Ok((begin, token))
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Text up to the closing quote; a doubled quote is one.
    fn quoted(&mut self, quote: char) -> Result<String> {
        let begin = self.at;
        self.at += quote.len_utf8();
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote));
            if self.rest().is_empty() {
                return Err(self.error(begin, &format!("the closing {quote} is missing")));
            }
            self.at += quote.len_utf8();
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += quote.len_utf8();
        }
    }

    fn number(&mut self) -> Result<Token> {
        let begin = self.at;
        let negative = self.rest().starts_with('-');
        self.at += usize::from(negative);
        if negative && self.rest().starts_with(begins_word) {
            let word = self.take_while(continues_word);
            return if word.eq_ignore_ascii_case("inf") {
                Ok(Token::Float(f64::NEG_INFINITY))
            } else {
                Err(self.error(begin, "found `-`, expected a number after it"))
            };
        }
        let digits = |c: char| c.is_ascii_digit();
        let mut is_float = false;
        if self.take_while(digits).is_empty() {
            return Err(self.error(begin, "found `-`, expected a number after it"));
        }
        if self.rest().starts_with('.') {
            is_float = true;
            self.at += 1;
            self.take_while(digits);
        }
        if self.rest().starts_with(['e', 'E']) {
            is_float = true;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
            self.take_while(digits);
        }
        let end = self.at;
        let text = self.text.get(begin..end).unwrap_or_default();
        if self.rest().starts_with(continues_word) {
            return Err(self.error(
                begin,
                &format!("a number ends with a letter after `{text}`"),
            ));
        }
        if is_float {
            text.parse()
                .map(Token::Float)
                .map_err(|_| self.error(begin, &format!("`{text}` is not a number")))
        } else {
            text.parse().map(Token::Int).map_err(|_| {
                self.error(
                    begin,
                    &format!("the integer {text} does not fit 64 bits; write {text}.0 for a float"),
                )
            })
        }
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            let byte = digit(pair.first()?)? * 16 + digit(pair.last()?)?;
            u8::try_from(byte).ok()
        })
        .collect()
}
