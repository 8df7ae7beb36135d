"""Texts in many writing systems, written for these tests: estimates of tokens are measured on them."""

from __future__ import annotations

from typing import Final

SAMPLES: Final[dict[str, str]] = {
    "english": (
        "The restaurant by the harbour has been full every evening since the spring, so we had better book "
        "a table before noon. My sister would like to sit near the window, and one of the children is "
        "allergic to nuts. Could you ask whether they still serve the fish soup that we liked last year?"
    ),
    "english_technical": (
        "Idempotency keys let a client retry an interrupted request without side effects: the server stores "
        "the first response under the key and replays it. Choose a random identifier of at least 128 bits, "
        "keep it until the operation is acknowledged, and never reuse it for a different payload."
    ),
    "german": (
        "Das Restaurant am Hafen ist seit dem Frühling jeden Abend ausgebucht, deshalb sollten wir möglichst "
        "vor dem Mittag reservieren. Meine Schwester möchte gerne am Fenster sitzen, und eines der Kinder "
        "verträgt keine Nüsse. Könnten Sie fragen, ob es die Fischsuppe vom letzten Jahr noch gibt?"
    ),
    "french": (
        "Le restaurant du port est complet tous les soirs depuis le printemps, il vaudrait donc mieux "
        "réserver avant midi. Ma sœur aimerait être assise près de la fenêtre et l'un des enfants "
        "est allergique aux noix. Pourriez-vous demander s'ils servent encore la soupe de poisson de "
        "l'année dernière ?"
    ),
    "spanish": (
        "El restaurante del puerto está lleno todas las noches desde la primavera, así que será mejor "
        "reservar antes del mediodía. Mi hermana querría sentarse cerca de la ventana y uno de "
        "los niños es alérgico a las nueces. ¿Podría preguntar si todavía sirven la sopa de pescado del "
        "año pasado?"
    ),
    "chinese": (
        "港口旁边的那家餐厅从春天开始每天晚上都坐满了人，所以我们最好在中午之前订好座位。我姐姐想坐在靠窗的位置，"
        "其中一个孩子对坚果过敏。请帮忙问一下，去年我们喜欢的鱼汤现在还有没有？如果没有，请推荐一道清淡的菜。"
    ),
    "japanese": (
        "港のそばのレストランは春から毎晩満席なので、お昼までに席を予約したほうがいいでしょう。姉は窓の近くに座りたいと"
        "言っていますし、子どもの一人はナッツにアレルギーがあります。去年おいしかった魚のスープがまだあるか聞いてもらえますか。"
    ),
    "korean": (
        "항구 옆에 있는 식당은 봄부터 매일 저녁 자리가 꽉 차서 점심 전에 예약하는 것이 좋겠습니다. 언니는 "
        "창가에 앉고 싶어 하고 아이 중 한 명은 견과류 알레르기가 있습니다. "
        "작년에 맛있게 먹었던 생선 수프가 아직 "
        "있는지 물어봐 주시겠어요?"
    ),
    "russian": (
        "Ресторан у гавани с самой весны каждый вечер полон, поэтому столик лучше заказать до полудня. Моя "
        "сестра хотела бы сидеть у окна, а у одного из детей аллергия на орехи. Не могли бы вы спросить, "
        "подают ли ещё рыбный суп, который понравился нам в прошлом году?"
    ),
    "ukrainian": (
        "Ресторан біля гавані з самої весни щовечора заповнений, тому столик краще замовити до полудня. Моя "
        "сестра хотіла б сидіти біля вікна, а одна з дітей має алергію на горіхи. Чи не могли б ви запитати, "
        "чи ще подають рибний суп, який нам сподобався минулого року?"
    ),
    "python": (
        "def settle(orders: list[Order], *, limit: int = 50) -> dict[str, int]:\n"
        '    """Adds up what each customer owes."""\n'
        "    totals: dict[str, int] = {}\n"
        "    for order in orders[:limit]:\n"
        "        if order.cancelled or not order.lines:\n"
        "            continue\n"
        "        totals[order.customer] = totals.get(order.customer, 0) + sum(l.cents for l in order.lines)\n"
        "    return {name: cents for name, cents in totals.items() if cents > 0}\n"
    ),
    "json": (
        '{"session_id": "s-48213", "status": "confirmed", "slots": {"date": "2026-11-25", "party_size": 4, '
        '"time": "19:30", "name": "Ada"}, "items": [{"sku": "A-1042", "quantity": 2, "price": 12.5}, '
        '{"sku": "B-77", "quantity": 1, "price": 8.0}], "paid": false, "notes": null}'
    ),
    "digits": (
        "4111 1111 1111 1111, 2026-11-25 19:30:00, 3.14159265358979, 192.168.10.254, 0800 4928374, 1000000, "
        "58.21%, 73, 9402, 65536, 17:45, 00042, 299792458, 6.62607015, 1234567890, 20 + 22 = 42"
    ),
    "emoji": "🎉😀👍🏽 🚀🔥✨ 🍕🍣🍷 😂🤔😍 🏖️🌊☀️ 🐶🐱 ❤️💔 👩‍👩‍👧 🇫🇷🇯🇵 ✅❌ 🎂🎁🥳",
}
"""Kind of text → an example of it, about the length of a message."""
