//! Tokens, keys and the time of day to a grant or a refusal; pure
