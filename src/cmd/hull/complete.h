/* SPDX-License-Identifier: Apache-2.0 */
/* `hull __complete WORD...`: what could stand in place of the last word.
 *
 * Answers for every shell alike; the scripts in completion/ only translate. One
 * candidate a line, the whole word, then a tab and a description if there is
 * one; the last line begins with a colon and tells the shell what to do besides:
 *   :            nothing
 *   :nospace     no blank after the word
 *   :files, :dirs   names of files or directories count too (after the last '='
 *                of an option)
 * Nothing is ever printed to stderr, and the exit code is 0. */
#pragma once

#include <stdio.h>

#include "verbs.h"

/* @argv is what follows the program's name, up to and with the word to complete. */
void complete_words(FILE *out, int argc, char **argv);
/* main() of `hull __complete`. */
int complete_main(int argc, char **argv);
