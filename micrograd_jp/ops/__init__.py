"""基本演算 (primitives) の宣言。"""
