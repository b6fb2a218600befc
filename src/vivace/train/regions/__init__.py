"""Makes and scores what finds regions: conversion of the perception networks, pixel graphs, hand masks."""
