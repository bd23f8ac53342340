"""How the regime model is trained: series to rows, rows to folds, folds to figures, and one artefact in the end."""
