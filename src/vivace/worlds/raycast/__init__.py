"""Scenes of clay with exact ground truth: solids, ray cast, textured, lit, with shadows."""
