/* Turning text that was laid out for a page back into prose. */
#ifndef INS_DATA_PROSE_H
#define INS_DATA_PROSE_H

#include "base/str.h"

/* Append `text` with its common indentation, trailing spaces and surplus empty lines removed. full > 0: a line is
 * joined with the next where the two have the same indentation and the next one's first word would have made the line
 * longer than `full` characters: that is where a formatter broke it. */
void ins_prose_reflow(const char *text, size_t n, size_t full, ins_str *out);

/* Length of the next part of a text that is to be cut into parts of at most `most` bytes: it ends, if it can in its
 * second half, behind an empty line, else a line, a sentence, a word, a character. */
size_t ins_prose_part(const char *text, size_t n, size_t most);

/* Undo overstriking (x BACKSPACE x, _ BACKSPACE x) in place; returns the new length. */
size_t ins_prose_unstrike(char *text, size_t n);

/* Append the text of XML-like markup (OSIS, ThML, TEI, HTML): tags go; block-level tags become line breaks, headings
 * lines of their own; notes, scripts and styles go with their contents; entities become characters; runs of white space
 * one space. Text that begins or ends inside a tag loses that part of the tag. *title (may be NULL) gets the first
 * heading's text. */
void ins_prose_strip_markup(const char *text, size_t n, ins_str *out, ins_str *title);

#endif
