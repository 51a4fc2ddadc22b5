"""What every command shares on its way to a screen or a pipe: tables, fields, words, and looking again."""
